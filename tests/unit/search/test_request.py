"""The search request: checked when it is made, and light enough for a warm search."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexer import build
from indexer.errors import ImageError, ImageNotFound, QueryError
from indexer.testing import FakeEncoder
from search import Engine, Filter, SearchRequest
from search.client import WireError, request_from_wire, request_to_wire
from search.hits import Results
from search.ranking.query import Query
from search.request import parse_label_threshold
from support.images import make_photo


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"offset": -1}, "offset at least 0"),
        ({"min_relevance": 1.5}, "between 0 and 1"),
        ({"min_relevance": float("nan")}, "between 0 and 1"),
        ({"k": 1.5}, "k must be a whole number, not 1.5"),
        ({"offset": "x"}, "offset must be a whole number"),
        ({"text_weight": float("nan")}, "weight of the text must be a number"),
        ({"image_weight": float("inf")}, "weight of the image must be a number"),
        ({"image_weight": 1e39}, "weight of the image must be a number"),
        ({"labels": [("cat", float("nan"))]}, "'cat' needs a probability between 0 and 1"),
        ({"labels": [("cat", 2.0)]}, "'cat' needs a probability between 0 and 1"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        SearchRequest("a dog", **wrong)  # type: ignore[arg-type]


def test_one_is_as_good_as_a_list_of_one() -> None:
    assert SearchRequest("a", without="night").without == ("night",)
    assert SearchRequest("a", images="a.jpg").images == (Path("a.jpg"),)  # type: ignore[arg-type]
    assert SearchRequest("a", images=b"bytes").images == (b"bytes",)
    assert SearchRequest("a", images=7).images == (7,)  # type: ignore[arg-type]
    assert Filter("2024", exclude="*.gif") == Filter(["2024"], exclude=["*.gif"])
    assert Filter(Path("2024")).folders == (Path("2024"),)  # type: ignore[arg-type]
    for labels in ("cat", ["cat>0.5"], [("cat",)]):
        with pytest.raises(TypeError, match="pair"):
            SearchRequest("a", labels=labels)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="one or several"):
        SearchRequest("a", images=None)  # type: ignore[arg-type]


def test_a_request_has_no_unknown_options() -> None:
    with pytest.raises(TypeError, match="typo"):
        SearchRequest("a", typo=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="typo"):
        Filter(typo=1)  # type: ignore[call-arg]


def test_integers_may_be_larger_than_sqlites(tmp_path: Path) -> None:
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.png", number)
    encoder = FakeEncoder()
    build(tmp_path / "photos", collection=tmp_path / "collection", encoder=encoder)
    with Engine.open(tmp_path / "collection", encoder=encoder) as engine:
        assert len(engine.search("x", k=2**70)) == 3
        assert engine.search("x", k=2**70, offset=2**70) == []
        assert len(engine.search("x", k=2**70, collapse=True, min_relevance=0.0)) == 3
        assert len(engine.newest(k=2**70).hits) == 3
        assert engine.newest(offset=2**70) == Results([], 3)
        chosen = Filter("photos", until="3000")
        assert len(engine.newest(k=2**70, filter=chosen).hits) == 3
        for number in (2**70, -(2**70), 0):
            with pytest.raises(QueryError, match=f"no image has the id {number}"):
                engine.search(images=number)
            with pytest.raises(QueryError, match=f"no image has the id {number}"):
                engine.similar(number)
        for path in ("a\0b", Path("a\0b")):
            with pytest.raises(ImageError, match="cannot be read"):
                engine.search(images=path)
        with pytest.raises(QueryError, match="no indexed image"):
            engine.search("x", filter=Filter("a\0b"))
        assert engine.search("\ud800 x", k=1)


def test_the_total_counts_what_can_be_found(tmp_path: Path) -> None:
    for number in range(4):
        folder = "in" if number < 3 else "out"
        make_photo(tmp_path / "photos" / folder / f"{number}.png", number)
    encoder = FakeEncoder()
    build(tmp_path / "photos", collection=tmp_path / "collection", encoder=encoder)
    with Engine.open(tmp_path / "collection", encoder=encoder) as engine:
        (outside,) = engine.search("x", filter=Filter("out"))
        inside = engine.search("x", filter=Filter("in"))[0]

        def total(image: int, chosen: Filter | None) -> int:
            query = Query.of(SearchRequest(images=[image, image], filter=chosen))
            found = engine.answer(query.encode(encoder))
            assert len(found.hits) == found.total
            return found.total

        assert total(outside.id, Filter("in")) == 3
        assert total(inside.id, Filter("in")) == 2
        assert total(outside.id, Filter(until="1990")) == 0
        assert total(outside.id, None) == 3
        # An image whose file has vanished keeps its vector, is not counted, nor asked for.
        (tmp_path / "photos" / "out" / "3.png").unlink()
        build(tmp_path / "photos", collection=tmp_path / "collection", encoder=encoder)
        assert total(inside.id, None) == 2
        with pytest.raises(ImageNotFound):
            total(outside.id, None)


def test_unknown_options_are_type_errors(tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "a.png", 1)
    encoder = FakeEncoder()
    build(tmp_path / "photos", collection=tmp_path / "collection", encoder=encoder)
    with Engine.open(tmp_path / "collection", encoder=encoder) as engine:
        for ask in (engine.search, engine.similar, engine.rank, engine.newest):
            with pytest.raises(TypeError, match="limit"):
                ask(1, limit=5)  # type: ignore[call-arg, arg-type, misc]


def test_an_image_may_be_a_path_bytes_or_an_id(tmp_path: Path) -> None:
    photos = [make_photo(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(4)]
    encoder = FakeEncoder()
    build(str(tmp_path / "photos"), collection=tmp_path / "collection", encoder=encoder)
    with Engine.open(tmp_path / "collection", encoder=encoder) as engine:
        by_path = engine.search(images=[photos[0]])
        assert [hit.id for hit in engine.search(images=[str(photos[0])])] == [
            hit.id for hit in by_path
        ]
        assert engine.search(images=[photos[0].read_bytes()]) == by_path
        own = by_path[0].id
        assert [hit.id for hit in engine.search(images=[own])] == [hit.id for hit in by_path[1:]]
        with pytest.raises(QueryError, match="no image has the id 99"):
            engine.search("a dog", images=[99])


def test_a_request_crosses_the_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    request = SearchRequest(
        "a dog",
        without=["people"],
        text_weight=2.0,
        filter=Filter(["photos", "Italy"], "2024", "2025", ["*.gif"]),
        labels=[("cat", 0.5)],
        k=3,
        offset=2,
        collapse=True,
        min_relevance=0.25,
    )
    arrived = request_from_wire(json.loads(json.dumps(request_to_wire(request))))
    assert arrived.filter == Filter(
        [os.path.join(os.getcwd(), "photos"), "Italy"], "2024", "2025", ["*.gif"]
    )
    for name in vars(request).keys() - {"filter", "images"}:
        assert getattr(arrived, name) == getattr(request, name), name
    plain = request_from_wire(request_to_wire(SearchRequest("a dog")))
    assert plain == SearchRequest("a dog", images=plain.images, without=[], labels=[])
    with pytest.raises(WireError):
        request_from_wire({"text": "a dog", "unknown": 1})


def test_a_warm_search_loads_nothing_large() -> None:
    code = (
        "import sys; from search.client import ask_server; from search import Filter; "
        "Filter(['photos'], '2024'); print(*sys.modules)"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert "search.request" in loaded
    assert not {"numpy", "faiss", "PIL", "sqlite3", "search.engine", "onnxruntime"} & loaded


def test_label_thresholds() -> None:
    assert parse_label_threshold("cat>0.8") == ("cat", 0.8)
    assert parse_label_threshold("cat") == ("cat", 0.5)
    for text in ("", ">0.5", "cat>2", "cat>x", "cat>nan"):
        with pytest.raises(QueryError, match='expected "LABEL>P"'):
            parse_label_threshold(text)
