"""Tags: what is one, what a change returns, and which images searches leave out for them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import build
from indexer.errors import CollectionLocked, QueryError
from indexer.store.catalog import write_transaction, writing
from indexer.store.collection import Collection
from indexer.testing import FakeEncoder
from search import Engine, Filter
from search.evaluation.own_labels import own_labels
from search.labels.tagging import TagChange, change_tags, count_tags, starting_with, tags_of
from search.request import SearchRequest
from search.tags import checked_tag

COUNT = 12


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A collection of twelve images, no two of them alike."""
    photos = tmp_path / "photos"
    photos.mkdir()
    draw = np.random.default_rng(1)
    for number in range(COUNT):
        pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number:02}.png")
    encoder = FakeEncoder()
    build([photos], collection=tmp_path / "collection", encoder=encoder)
    with Engine.open(tmp_path / "collection", encoder=encoder) as opened:
        yield opened


def tag(engine: Engine, ids: list[int], **change: list[str]) -> list[TagChange]:
    with write_transaction(engine.collection, "tags") as catalog:
        return change_tags(catalog, ids, **change)


def ids_of(engine: Engine, **conditions: object) -> list[int]:
    return [hit.id for hit in engine.search(k=100, **conditions)]  # type: ignore[arg-type]


def test_a_change_says_what_its_reverse_undoes(engine: Engine) -> None:
    first, second, third = ids_of(engine, text="a")[:3]
    tag(engine, [first], add=["dog", "old"])
    changes = tag(engine, [third, first, second, third], add=["dog", "wet"], remove=["old", "no"])
    assert changes == [
        TagChange(third, ("dog", "wet"), ()),
        TagChange(first, ("wet",), ("old",)),
        TagChange(second, ("dog", "wet"), ()),
    ]
    assert tag(engine, [first, second], add=["dog"], remove=["old"]) == []
    assert tags_of(engine.catalog, first) == ["dog", "wet"]
    for one in changes:
        tag(engine, [one.content], add=list(one.removed), remove=list(one.added))
    assert [tags_of(engine.catalog, one) for one in (first, second, third)] == [
        ["dog", "old"], [], []
    ]  # fmt: skip


def test_hidden_images_are_left_out_unless_asked_for(engine: Engine) -> None:
    every = ids_of(engine, text="a")
    assert len(every) == COUNT
    hidden = sorted([every[0], every[5], every[11]])
    tag(engine, hidden, add=["hidden"])
    tag(engine, every[:2], add=["dog"])
    shown = [one for one in every if one not in hidden]
    asked = Filter(tags=["hidden"])

    assert ids_of(engine, text="a") == shown
    assert engine.results(SearchRequest("a")).total == len(shown)
    assert sorted(ids_of(engine, text="a", filter=asked)) == hidden
    assert engine.results(SearchRequest("a", filter=asked)).total == len(hidden)
    assert ids_of(engine, text="a", filter=Filter(tags=["dog"])) == [every[1]]
    assert engine.results(SearchRequest("a", filter=Filter(tags="dog"))).total == 1
    assert ids_of(engine, text="a", filter=Filter(tags=["dog", "hidden"])) == [every[0]]
    assert ids_of(engine, text="a", filter=Filter(tags=["Dog"])) == []

    newest = engine.newest(k=100)
    assert {hit.id for hit in newest.hits} == set(shown)
    assert newest.total == len(shown)
    pages = [engine.newest(k=4, offset=at).hits for at in (0, 4, 8)]
    assert [hit.id for page in pages for hit in page] == [hit.id for hit in newest.hits]
    assert [hit.rank for page in pages for hit in page] == list(range(1, len(shown) + 1))
    assert {hit.id for hit in engine.newest(k=100, filter=asked).hits} == set(hidden)
    recent = engine.newest(k=100, filter=Filter(since="2020"))
    assert ({hit.id for hit in recent.hits}, recent.total) == (set(shown), len(shown))
    assert {hit.id for hit in engine.newest(k=100, collapse=True).hits} == set(shown)

    similar = [hit.id for hit in engine.similar(hidden[0], k=100)]
    assert sorted(similar) == sorted(shown)
    tag(engine, hidden, remove=["hidden"])
    assert ids_of(engine, text="a") == every


def test_counts_are_those_of_a_search(engine: Engine) -> None:
    every = ids_of(engine, text="a")
    tag(engine, every[:4], add=["dog"])
    tag(engine, every[4:5], add=["gone", "Doggy"])
    tag(engine, [every[0], every[4]], add=["hidden"])
    counts = count_tags(engine.catalog)
    assert counts == [("dog", 3), ("hidden", 2)]
    for name, count in counts:
        assert engine.results(SearchRequest("a", filter=Filter(tags=[name]))).total == count
    tag(engine, [every[4]], remove=["hidden"])
    found = starting_with(count_tags(engine.catalog), "DOG")
    assert found == [("Doggy", 1), ("dog", 3)]


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\0b", "\x1b[2J", "a\u2028b", "\ufffe"])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        checked_tag(text)
    with pytest.raises(QueryError):
        Filter(tags=[text])


def test_reserved_tags_teach_nothing(engine: Engine) -> None:
    one, two = ids_of(engine, text="a")[:2]
    tag(engine, [one, two], add=["favourite"])
    tag(engine, [two], add=["pear"])
    truth = own_labels(engine.collection)
    assert [known.labels for known in truth.values()] == [["pear"]]


def test_a_writer_is_waited_for(engine: Engine, tmp_path: Path) -> None:
    collection = Collection(tmp_path / "collection")
    with (
        writing(collection, "index"),
        pytest.raises(CollectionLocked, match="index"),
        writing(collection, "tags", 0.2),
    ):
        pass
    with writing(collection, "tags", 0.2):
        pass
