"""Codes propose vectors: what is found is held against brute force; faults cost time alone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from indexer.encoder import Embeddings, unit
from indexer.store import checked_files, vector_file
from indexer.store.approximate import codes_file
from indexer.store.approximate.codes_file import publish_codes
from indexer.store.catalog import Catalog, writing
from indexer.store.codec import packed
from indexer.store.collection import Collection
from indexer.store.publish_vectors import erase_vectors, publish
from indexer.store.records import IndexOptions, Model
from indexer.store.rows import FileRow, NewContent
from indexer.store.vector_index import VectorIndex

DIM, COUNT = 64, 4000
MODEL = Model("codes", "codes", DIM)
# An image more makes no file of its own below 20,000 of them; in these tests it shall.
APPROXIMATE = IndexOptions("approximate", 0.97)


def clustered(count: int, seed: int = 0) -> Embeddings:
    """Vectors around centres, as those of images lie."""
    centres = np.random.default_rng(1).standard_normal((50, DIM))
    random = np.random.default_rng(seed)
    return unit(centres[random.integers(50, size=count)] + random.standard_normal((count, DIM)))


def add(catalog: Catalog, vectors: Embeddings, first: int) -> None:
    with catalog.transaction():
        catalog.activate(MODEL)
        known, generation = [*catalog.roots()], catalog.next_generation()
        root = known[0] if known else catalog.add_root(b"/photos")
        for number, vector in enumerate(packed(vectors), start=first):
            new = NewContent(b"%032d" % number, 1, 1, "", None, None, bytes(1024), vector)
            content = catalog.put_content(new, MODEL.fingerprint, generation)
            catalog.put_file(FileRow(root, b"%d.jpg" % number, 0, 0, content))


def make_codes(collection: Collection, catalog: Catalog) -> None:
    publish(collection, catalog, MODEL.fingerprint, DIM)
    (file,) = catalog.vector_files(MODEL.fingerprint)
    publish_codes(collection, catalog, MODEL.fingerprint, file, clustered(200, seed=5))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    collection = Collection(tmp_path_factory.mktemp("made") / "collection")
    collection.create()
    with writing(collection, "test") as catalog:
        with catalog.transaction():
            catalog.set_index_options(APPROXIMATE)
        add(catalog, clustered(COUNT), 1)
        make_codes(collection, catalog)
    return collection


@pytest.fixture
def coded(made: Collection, tmp_path: Path) -> Collection:
    shutil.copytree(made.folder, tmp_path / "collection")
    return Collection(tmp_path / "collection")


@contextmanager
def opened(collection: Collection) -> Iterator[VectorIndex]:
    with closing(Catalog.open(collection)) as catalog:
        yield VectorIndex.open(collection, catalog, MODEL.fingerprint, DIM)


def brute(vectors: Embeddings, query: Embeddings, allowed: np.ndarray) -> list[int]:
    kept = unit(vectors.astype(np.float16).astype(np.float32))
    scores = np.where(allowed, kept @ query, -2.0)
    return (np.argsort(-scores, kind="stable")[:10] + 1).tolist()


@pytest.mark.parametrize("share", [1.0, 0.5, 0.05, 0.005])
def test_recall_is_what_was_measured(coded: Collection, share: float) -> None:
    vectors = clustered(COUNT)
    random = np.random.default_rng(2)
    allowed = random.random(COUNT) < share
    among = None if share == 1 else np.flatnonzero(allowed) + 1
    hidden = set(random.choice(np.arange(1, COUNT + 1), 20, replace=False).tolist())
    allowed[[number - 1 for number in hidden]] = False
    found = 0
    with opened(coded) as index:
        assert index.recall >= 0.97
        for query in clustered(100, seed=9):
            truth = brute(vectors, query, allowed)
            scores, ids = index.search(query, 10, without=hidden, among=among)
            assert np.allclose(scores, vectors[ids - 1] @ query, atol=1e-3)
            assert not hidden & {*ids.tolist()}
            assert (np.diff(scores) <= 0).all()
            found += len({*ids.tolist()} & {*truth})
    assert found / 1000 >= 0.96


def test_many_hits_and_all_hits_are_exact(coded: Collection) -> None:
    query = clustered(1, seed=3)[0]
    with opened(coded) as index:
        for count in (COUNT, 3000):
            scores, ids = index.search(query, count)
            assert len(ids) == count
            assert (np.diff(scores) <= 0).all()


def test_what_is_left_of_hidden_vectors_is_found(coded: Collection) -> None:
    vectors = clustered(COUNT)
    query = clustered(1, seed=3)[0]
    farthest = np.argsort(vectors @ query)[:3] + 1
    hidden = set(range(1, COUNT + 1)) - {*farthest.tolist()}
    with opened(coded) as index:
        assert {*index.search(query, 10, without=hidden)[1].tolist()} == {*farthest.tolist()}
        assert index.count_above(query, -1.0, without=set(range(1, COUNT + 1))) == 0


def test_matches_are_counted(coded: Collection) -> None:
    vectors = clustered(COUNT)
    query = clustered(1, seed=3)[0]
    scores = np.sort(unit(vectors.astype(np.float16).astype(np.float32)) @ query)[::-1]
    with opened(coded) as index:
        for wanted, tolerance in ((20, 1), (2000, 200)):
            least = float(scores[wanted - 1 : wanted + 1].mean())
            assert abs(index.count_above(query, least) - wanted) <= tolerance


def test_new_vectors_are_found_before_and_after_they_have_codes(coded: Collection) -> None:
    new = unit(np.random.default_rng(77).standard_normal((300, DIM)))
    with writing(coded, "test") as catalog:
        before = catalog.codes_file(MODEL.fingerprint)
        add(catalog, new, COUNT + 1)
        with opened(coded) as index:
            assert all(index.search(v, 1)[1][0] == COUNT + 1 + i for i, v in enumerate(new))
        make_codes(coded, catalog)
        after = catalog.codes_file(MODEL.fingerprint)
    assert before is not None
    assert after is not None
    assert (after.vectors, after.trained) == (COUNT + 300, before.trained)
    assert after.generation > before.generation
    assert len(list(coded.vectors.iterdir())) == 2
    with opened(coded) as index:
        assert index.recall < 1
        found = [index.search(vector, 1)[1][0] == COUNT + 1 + i for i, vector in enumerate(new)]
        assert np.mean(found) >= 0.97


def test_lists_are_made_anew_for_twice_as_many(coded: Collection) -> None:
    with writing(coded, "test") as catalog:
        add(catalog, clustered(COUNT, seed=8), COUNT + 1)
        make_codes(coded, catalog)
        made = catalog.codes_file(MODEL.fingerprint)
    assert made is not None
    assert made.trained == 2 * COUNT


def test_codes_of_an_older_clipdex_answer_and_are_made_anew(coded: Collection) -> None:
    vectors = clustered(COUNT)
    former = faiss.index_factory(DIM, f"IVF250,PQ{DIM // 2}x4fs", faiss.METRIC_INNER_PRODUCT)
    former.train(vectors)
    former.add_with_ids(vectors, np.arange(1, COUNT + 1))
    (path,) = coded.vectors.glob("*.codes.faiss")
    faiss.write_index(former, str(path))
    with writing(coded, "test") as catalog:
        known = catalog.codes_file(MODEL.fingerprint)
        assert known is not None
        known = replace(
            known, size=path.stat().st_size, digests=vector_file.digests_of(path), probes=128,
            depth=30,
        )  # fmt: skip
        with catalog.transaction():
            catalog.publish_codes_file(MODEL.fingerprint, known)
        with opened(coded) as index:
            assert index.recall < 1
            found = [
                len({*index.search(query, 10)[1].tolist()} & {*truth})
                for query in clustered(50, seed=9)
                for truth in [brute(vectors, query, np.ones(COUNT, bool))]
            ]
        assert np.mean(found) >= 9.5
        make_codes(coded, catalog)  # nothing is new, and what there is finds enough
        assert vector_file.digests_of(path) == known.digests
        add(catalog, clustered(300, seed=6), COUNT + 1)
        make_codes(coded, catalog)
        made = catalog.codes_file(MODEL.fingerprint)
        assert made is not None
        assert made.trained == COUNT + 300


@pytest.mark.parametrize("fault", ["missing", "cut", "changed", "empty"])
def test_damaged_codes_cost_time_alone(
    coded: Collection, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(codes_file, "say", said.append)
    (path,) = coded.vectors.glob("*.codes.faiss")
    whole = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(whole[:-1])
    elif fault == "changed":
        path.write_bytes(whole[:-1000] + bytes(1000))
    else:
        path.write_bytes(b"")
    vectors = clustered(COUNT)
    with opened(coded) as index:
        assert index.recall == 1
        for query in clustered(20, seed=9):
            truth = brute(vectors, query, np.ones(COUNT, bool))
            assert index.search(query, 10)[1].tolist() == truth
    assert all("every vector is scored instead" in line for line in said)
    assert said
    with writing(coded, "test") as catalog:
        if fault != "missing":
            path.write_bytes(whole[:100])
        make_codes(coded, catalog)
    with opened(coded) as index:
        assert 0.97 <= index.recall < 1


def test_erased_vectors_leave_no_codes(coded: Collection) -> None:
    with writing(coded, "test") as catalog:
        with catalog.transaction():
            catalog.remove_contents([5], catalog.next_generation())
        erase_vectors(coded, catalog, MODEL, [5])
        assert catalog.codes_file(MODEL.fingerprint) is None
    assert not list(coded.vectors.glob("*.codes.*"))


def test_options_decide(coded: Collection) -> None:
    with writing(coded, "test") as catalog:
        with catalog.transaction():
            catalog.set_index_options(IndexOptions("exact"))
        make_codes(coded, catalog)
        assert catalog.codes_file(MODEL.fingerprint) is None
    assert not list(coded.vectors.glob("*.codes.*"))
    for kind, vectors, wanted in (
        ("auto", codes_file.APPROXIMATE_FROM - 1, False),
        ("auto", codes_file.APPROXIMATE_FROM, True),
        ("approximate", codes_file.LEAST - 1, False),
        ("exact", 10**9, False),
    ):
        assert codes_file.wants_codes(IndexOptions(kind), vectors) == wanted  # type: ignore[arg-type]


def test_a_large_file_is_read_once_and_again_when_it_changes(
    coded: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checked_files, "FROM_BYTES", 1000)
    monkeypatch.setattr(checked_files, "SETTLED_NS", 0)
    read: list[Path] = []
    real = vector_file.digests_of
    monkeypatch.setattr(vector_file, "digests_of", lambda path: read.append(path) or real(path))
    (path,) = coded.vectors.glob("*.codes.faiss")
    with writing(coded, "test") as catalog:
        file = catalog.codes_file(MODEL.fingerprint)
    assert file is not None
    for _ in range(3):
        assert vector_file.damage(path, file.size, file.digests) is None
    assert read == [path]
    whole = path.read_bytes()
    before = path.stat()
    path.write_bytes(whole[:-8] + bytes(8))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # what a clever hand would do
    assert vector_file.damage(path, file.size, file.digests) == (
        "is damaged: its checksums are wrong"
    )
    # Nor does what is remembered of other checksums count.
    path.write_bytes(whole)
    assert vector_file.damage(path, file.size, file.digests) is None
    assert vector_file.damage(path, file.size, b"x" * 16) is not None
