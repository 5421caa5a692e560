"""Relevance of hits, "nothing here matches", and "none of these"."""

import csv
import io
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from indexer import build, load_encoder
from indexer.compile.caption_bank import CAPTIONS
from indexer.errors import QueryError
from indexer.model_name import BUILT_IN_FOLDER
from indexer.testing import FakeEncoder
from search import Engine, Filter
from search.request import SearchRequest
from support.command import Run, json_lines
from support.images import make_photo


def stored(collection: Path) -> dict[int, np.ndarray]:
    connection = sqlite3.connect(collection / "catalogue.sqlite3")
    rows = connection.execute("SELECT content, vector FROM embeddings").fetchall()
    connection.close()
    vectors = {number: np.frombuffer(vector, "<f2").astype(np.float64) for number, vector in rows}
    return {number: vector / np.linalg.norm(vector) for number, vector in vectors.items()}


def expected(query: np.ndarray, kind: str, vectors: dict[int, np.ndarray]) -> dict[int, float]:
    """Relevance as docs/decisions/0012-relevance.md defines it, written anew."""
    bank, photos = (
        np.load(BUILT_IN_FOLDER / name).astype(np.float64) for name in ("bank.npy", "reference.npy")
    )
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    manifest = json.loads((BUILT_IN_FOLDER / "bundle.json").read_text())
    intercept, slope, *weights = manifest["relevance"][kind]
    usual = bank[::4] @ photos[::4].T
    middle, spread = usual.mean(), usual.std(axis=1).mean()
    scores = (photos @ query - middle) / spread
    captions = bank[::4] @ bank[::4].T
    captions = captions[~np.eye(len(captions), dtype=bool)].reshape(len(captions), -1)
    likeness = (bank @ query - captions.mean()) / captions.std(axis=1).mean()
    described = [
        scores.mean(),
        scores.std(),
        *np.quantile(scores, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.997)),
        *(np.log(np.exp(sharp * likeness).mean()) / sharp for sharp in (1, 3, 9)),
    ]
    result = {}
    for number, vector in vectors.items():
        score = (vector @ query - middle) / spread
        logit = intercept + slope * score + np.dot(weights, described if weights else [])
        result[number] = 1 / (1 + np.exp(-logit))
    return result


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"text": "a cat"}, "text"),
        ({"images": 1}, "image"),
        ({"text": "a cat", "images": 1}, "mixed"),
    ],
)
def test_relevance_depends_on_the_query_and_the_score(
    arguments: dict[str, object], kind: str, photos_indexed: tuple[Path, Path]
) -> None:
    photos, collection = photos_indexed
    vectors = stored(collection)
    encoder = load_encoder()
    text, images = arguments.get("text"), [photos / "coffee.png"] if "images" in arguments else []
    with Engine.open(collection, encoder=encoder) as engine:
        hits = engine.search(text, images=images)
        own = {hit.file.name: hit.id for hit in hits}["coffee.png"]
        query = np.zeros(encoder.dim)
        if text:
            query += encoder.encode_texts([str(text)])[0]
        if images:
            query += vectors[own]
    truth = expected(query / np.linalg.norm(query), kind, vectors)
    assert len(hits) == len(truth) == 6
    for hit in hits:
        assert hit.relevance == pytest.approx(truth[hit.id], abs=2e-3)


@pytest.mark.parametrize("kind", ["text", "image", "mixed"])
def test_relevance_falls_with_the_rank_whatever_is_asked(
    kind: str, photos_indexed: tuple[Path, Path]
) -> None:
    collection = photos_indexed[1]
    encoder = load_encoder()
    random = np.random.default_rng(len(kind))
    noise = random.normal(0, 1, (170, encoder.dim))
    captions = encoder.bundle.bank[random.permutation(1000)[:170]]
    share = random.uniform(0, 1.5, (170, 1))
    queries = captions + share * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    with Engine.open(collection, encoder=encoder) as engine:
        for query in queries:
            every = engine.rank(query, kind=kind, k=99)
            relevance = [hit.relevance for hit in every]
            assert relevance == sorted(relevance, reverse=True)
            pages = [engine.rank(query, kind=kind, k=2, offset=at) for at in (0, 2, 4)]
            assert [hit.relevance for page in pages for hit in page] == relevance
            some = engine.rank(query, kind=kind, filter=Filter(exclude=["coffee.png"]))
            apart = engine.rank(query, kind=kind, collapse=True)
            known = {hit.id: hit.relevance for hit in every}
            for hits in (some, apart):
                assert [known[hit.id] for hit in hits] == [hit.relevance for hit in hits]
                assert [hit.relevance for hit in hits] == sorted(
                    (hit.relevance for hit in hits), reverse=True
                )


def test_matches_are_counted_over_the_whole_collection(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    collection = photos_indexed[1]
    with Engine.open(collection) as engine:
        for text in ("a cat", "a person", "an elephant", "a cup of coffee", "a picture"):
            every = [hit.relevance for hit in engine.search(text, k=99)]
            matches = sum(one >= 0.5 for one in every)
            for k, offset in ((1, 0), (2, 3), (99, 0), (5, 99)):
                found = engine.results(SearchRequest(text, k=k, offset=offset))
                assert (found.total, found.total_matches) == (6, matches)
            strict = engine.results(SearchRequest(text, k=1, min_relevance=0.8))
            assert strict.total_matches == sum(one >= 0.8 for one in every)
            some = SearchRequest(text, filter=Filter(exclude=["chelsea.png"]))
            found = engine.results(some)
            assert found.total_matches == sum(hit.relevance >= 0.5 for hit in found.hits)
        newest = engine.results(SearchRequest(filter=Filter(exclude=["chelsea.png"])))
        assert (newest.total, newest.total_matches) == (5, None)


def test_what_else_is_there_moves_no_estimate(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    photos, collection = photos_indexed
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "chelsea.png").write_bytes((photos / "chelsea.png").read_bytes())
    clipdex("index", tmp_path / "one", "--collection", tmp_path / "c")

    def estimate(place: Path) -> float:
        hits = json_lines(clipdex("search", "a cat", "--json", "--collection", place))
        return float({Path(hit["path"]).name: hit["relevance"] for hit in hits}["chelsea.png"])

    assert estimate(tmp_path / "c") == pytest.approx(estimate(collection), abs=1e-3)


def test_the_bank_holds_the_vectors_of_the_captions() -> None:
    captions = CAPTIONS.read_text(encoding="utf-8").splitlines()
    assert len(captions) == len(set(captions)) == 1000
    encoder = load_encoder()
    assert encoder.bundle.bank.shape == (1000, encoder.dim)
    some = list(range(0, 1000, 50))
    vectors = encoder.encode_texts([captions[number] for number in some])
    assert (vectors * encoder.bundle.bank[some]).sum(axis=1).min() > 0.9999


def test_a_message_when_nothing_matches(clipdex: Run, photos_indexed: tuple[Path, Path]) -> None:
    collection = photos_indexed[1]
    found = clipdex("search", "a cat", "--collection", collection)
    assert found.stdout.splitlines()[0].endswith(b"chelsea.png")
    assert b"nothing here" not in found.stderr
    missing = clipdex("search", "an elephant", "--collection", collection)
    assert len(missing.stdout.splitlines()) == 6
    assert b"nothing here matches; these come closest (" in missing.stderr
    none = clipdex("search", "an elephant", "--min-relevance", 0.5, "--collection", collection)
    assert none.stdout == b""
    assert none.stderr == b"nothing here matches\n"
    silent = clipdex(
        "search", "an elephant", "--min-relevance", 0.5, "--json", "--collection", collection
    )
    assert (silent.stdout, silent.stderr) == (b"", b"")


def test_min_relevance_filters_exactly(clipdex: Run, photos_indexed: tuple[Path, Path]) -> None:
    collection = photos_indexed[1]
    every = json_lines(clipdex("search", "a cup", "-k", 99, "--json", "--collection", collection))
    assert all(0 <= hit["relevance"] <= 1 for hit in every)
    border = sorted(hit["relevance"] for hit in every)[3]
    wanted = [hit["id"] for hit in every if hit["relevance"] >= border]
    options = ("--min-relevance", border, "--json", "--collection", collection)
    kept = json_lines(clipdex("search", "a cup", *options))
    assert [hit["id"] for hit in kept] == wanted
    assert [hit["rank"] for hit in kept] == [1, 2, 3]
    second = json_lines(clipdex("search", "a cup", "--offset", 1, "-k", 1, *options))
    assert [(hit["id"], hit["rank"]) for hit in second] == [(wanted[1], 2)]


def test_none_of_these(clipdex: Run, photos_indexed: tuple[Path, Path]) -> None:
    photos, collection = photos_indexed
    options = ("--collection", collection, "--json")
    (fits,) = json_lines(clipdex("label", photos / "chelsea.png", "--labels", "cat,bus", *options))
    (not_,) = json_lines(clipdex("label", photos / "chelsea.png", "--labels", "bus,ship", *options))
    assert fits["none"] < 0.5 < not_["none"]
    for answer in (fits, not_):
        likeliest = max(label["relevance"] for label in answer["labels"])
        assert answer["none"] == pytest.approx(1 - likeliest, abs=1e-4)
    assert sum(label["probability"] for label in not_["labels"]) == pytest.approx(1)
    shown = clipdex("label", photos / "chelsea.png", "--labels", "bus,ship", *options[:2])
    assert b"\tnone of these " in shown.stdout
    table = clipdex("label", photos / "chelsea.png", "--labels", "bus", "--csv", *options[:2])
    (row,) = csv.DictReader(io.StringIO(table.stdout.decode()))
    assert float(row["none"]) > 0.5


def test_a_model_without_an_estimate_says_so(tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "a.png", 1)
    build([tmp_path / "photos"], collection=tmp_path / "c", encoder=FakeEncoder())
    with Engine.open(tmp_path / "c", encoder=FakeEncoder()) as engine:
        assert [hit.relevance for hit in engine.search("x")] == [None]
        with pytest.raises(QueryError, match="no estimate of relevance"):
            engine.search("x", min_relevance=0.5)
        with pytest.raises(QueryError, match="between 0 and 1"):
            engine.search("x", min_relevance=2)


def test_a_label_filters_by_its_estimated_probability(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    collection = photos_indexed[1]
    vectors = stored(collection)
    truth = expected(load_encoder().encode_texts(["a photo of a cat"])[0], "text", vectors)
    border = sorted(truth.values())[-2]
    options = ("--json", "--collection", collection)
    hits = json_lines(clipdex("search", "anything", "--label", f"cat>{border + 1e-3}", *options))
    assert [Path(hit["path"]).name for hit in hits] == ["chelsea.png"]
    every = json_lines(clipdex("search", "anything", "--label", "cat>0", *options))
    assert len(every) == 6
    both = ("--label", f"cat>{border + 1e-3}", "--label", "cup of coffee>0.5")
    assert json_lines(clipdex("search", "anything", *both, *options)) == []
    for wrong in ("cat>2", "cat>x", ">0.5"):
        assert b"LABEL>P" in clipdex("search", "x", "--label", wrong, *options, code=2).stderr


def test_an_image_that_is_here_already_is_said_first(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    photos, collection = photos_indexed
    copy = tmp_path / "copy.png"
    copy.write_bytes((photos / "chelsea.png").read_bytes())
    found = clipdex("similar", copy, "--min-relevance", 1, "--collection", collection)
    where = f"already in your library: {photos / 'chelsea.png'}"
    assert found.stderr.decode().splitlines() == [where, "nothing else here matches"]
    foreign = tmp_path / "foreign.png"
    make_photo(foreign, 1)
    assert b"already" not in clipdex("similar", foreign, "--collection", collection).stderr
    silent = clipdex("similar", copy, "--json", "--collection", collection)
    assert silent.stderr == b""
    assert len(json_lines(silent)) == 5
