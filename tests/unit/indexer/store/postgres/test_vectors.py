"""Searches by vector in the database, compared with brute force over the same half vectors."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from indexer.encoder import Embeddings, unit
from indexer.errors import CollectionError
from indexer.store.codec import packed
from indexer.store.collection import SharedCollection
from indexer.store.postgres import vectors as module
from indexer.store.postgres.hnsw import nearest
from indexer.store.postgres.store import PostgresStore
from indexer.store.postgres.vectors import PostgresVectors
from indexer.store.records import IndexOptions, Model, OwnIndex, Scope
from indexer.store.rows import FileRow, NewContent
from search.status import Status
from support.postgres import Server

COUNT, DIM, K = 3000, 32, 20
MODEL = Model("c" * 32, "clusters", DIM)
# Another one, of another length, whose vectors are never to be seen.
OTHER = Model("d" * 32, "other", 8)
numbers = itertools.count()


@pytest.fixture(scope="module")
def rows() -> Embeddings:
    """Vectors in clusters, as images are, and as they are stored; some are there twice."""
    random = np.random.default_rng(5)
    centres = random.standard_normal((60, DIM))
    drawn = unit(centres[random.integers(60, size=COUNT)] + random.standard_normal((COUNT, DIM)))
    drawn[100:110] = drawn[:10]
    return drawn.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def store(postgres: Server, rows: Embeddings) -> Iterator[PostgresStore]:
    collection = SharedCollection.at(postgres.database("vectors"))
    with collection.writing() as store:
        with store.transaction():
            store.activate(MODEL)
            store.begin_switch(OTHER)
            root = store.add_root(b"/photos")
            generation = store.next_generation()
            for number, vector in enumerate(packed(rows), start=1):
                new = NewContent(b"%016d" % number, 1, 1, "", None, None, bytes(1024), vector)
                found = store.put_content(new, MODEL.fingerprint, generation)
                assert found == number
                store.put_file(FileRow(root, b"%d/%d" % (number % 7, number), 1, 1, number))
            for number in range(1, 200):
                new = NewContent(
                    b"%016d" % number, 1, 1, "", None, None, bytes(1024),
                    packed(unit(np.ones((1, 8))))[0],
                )  # fmt: skip
                store.put_content(new, OTHER.fingerprint, generation)
            store.set_index_options(IndexOptions("approximate", 0.95))
        collection.publish(store, MODEL.fingerprint, DIM, rows[:0], lambda done, of: None)
        yield store


@pytest.fixture(params=["index", "every one"])
def vectors(
    request: pytest.FixtureRequest, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> PostgresVectors:
    opened = PostgresVectors.open(store, MODEL.fingerprint, DIM)
    if request.param == "index":
        monkeypatch.setattr(module, "BORDER", 0)
    else:
        monkeypatch.setattr(opened, "_hnsw", None)
    return opened


def queries() -> Embeddings:
    return unit(np.random.default_rng(9).standard_normal((25, DIM)).astype(np.float32))


def best(rows: Embeddings, query: Embeddings, allowed: np.ndarray, count: int) -> list[int]:
    """Ids, 1 to n of `rows`, by brute force; equal scores in order of the ids."""
    scores = rows[allowed - 1] @ query
    return allowed[np.argsort(-scores, kind="stable")[:count]].tolist()


def test_index_is_made_and_measured(store: PostgresStore) -> None:
    own = store.own_index(MODEL.fingerprint)
    assert own is not None
    assert own.kind == "hnsw"
    assert 0.95 <= own.image_recall <= 1
    assert own.text_recall == own.image_recall  # there are no texts
    assert store.own_index(OTHER.fingerprint) == OwnIndex("flat")
    shown = Status.of(SharedCollection.at("postgresql://db/x"), store, MODEL).index
    assert shown == {
        "kind": "hnsw", "recall_at_10": own.image_recall, "text_recall": own.text_recall,
        "image_recall": own.image_recall,
    }  # fmt: skip
    plan = store.session.execute(
        "EXPLAIN SELECT content FROM embeddings "
        f"WHERE fingerprint = '{MODEL.fingerprint}' ORDER BY vector::halfvec({DIM}) "
        f"<#> (SELECT vector FROM embeddings LIMIT 1)::halfvec({DIM}) LIMIT 10"
    )
    assert any("Index Scan using hnsw_" in line for (line,) in plan)


def test_found_is_what_brute_force_finds(vectors: PostgresVectors, rows: Embeddings) -> None:
    everything = np.arange(1, COUNT + 1)
    shares = []
    for query in queries():
        scores, ids = vectors.search(query, K)
        assert len(ids) == len(set(ids.tolist())) == K
        assert np.allclose(scores, rows[ids - 1] @ query, atol=1e-5)
        assert (np.diff(scores) <= 0).all()
        shares.append(len(set(ids.tolist()) & set(best(rows, query, everything, K))) / K)
    assert np.mean(shares) >= (1.0 if vectors._hnsw is None else 0.95)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.001])
def test_filters_are_exact(vectors: PostgresVectors, rows: Embeddings, share: float) -> None:
    random = np.random.default_rng(int(1000 * share))
    chosen = random.choice(np.arange(1, COUNT + 1), max(2, round(share * COUNT)), replace=False)
    among = np.sort(chosen)
    hidden = among[::5].tolist()
    allowed = np.setdiff1d(among, hidden)
    shares = []
    for query in queries():
        scores, ids = vectors.search(query, K, among=among, without=hidden)
        expected = best(rows, query, allowed, K)
        assert len(ids) == len(expected)
        assert set(ids.tolist()) <= set(allowed.tolist())
        assert np.allclose(scores, rows[ids - 1] @ query, atol=1e-5)
        shares.append(len(set(ids.tolist()) & set(expected)) / len(expected))
        least = float(np.sort(rows[allowed - 1] @ query)[len(allowed) // 2])
        above = vectors.above(query, least - 1e-6, among=among, without=hidden).tolist()
        assert above == allowed[rows[allowed - 1] @ query >= least - 1e-6].tolist()
        count = vectors.count_above(query, least - 1e-6, among=among, without=hidden)
        assert count == len(above)
    assert np.mean(shares) >= (1.0 if vectors._hnsw is None or len(allowed) <= K else 0.95)
    assert vectors.count(among=among, without=hidden) == len(allowed)


def test_filters_with_few_images_are_exact_whatever_the_index(
    store: PostgresStore, rows: Embeddings
) -> None:
    vectors = PostgresVectors.open(store, MODEL.fingerprint, DIM)
    among = np.arange(5, COUNT + 1, 3)
    assert len(among) ** 2 <= module.BORDER * COUNT
    for query in queries():
        assert vectors.search(query, K, among=among)[1].tolist() == best(rows, query, among, K)


def test_equal_vectors_come_in_order_of_their_ids(
    vectors: PostgresVectors, rows: Embeddings
) -> None:
    _, ids = vectors.search(rows[3], 2)
    assert ids.tolist() == [4, 104]
    assert vectors.search(rows[3], 1, without=[4])[1].tolist() == [104]


def test_many_are_counted_by_a_sample(vectors: PostgresVectors, rows: Embeddings) -> None:
    for query in queries()[:5]:
        scores = np.sort(rows @ query)
        for rank in (1, 300, 2000):
            least = float(scores[-rank]) - 1e-6
            expected = int((scores >= least).sum())
            found = vectors.count_above(query, least)
            assert abs(found - expected) <= (0 if vectors._hnsw is None else 0.15 * expected)


def test_search_that_fails_leaves_the_connection_usable(
    store: PostgresStore, rows: Embeddings
) -> None:
    with pytest.raises(CollectionError):
        nearest(store, MODEL.fingerprint, DIM + 1, rows[0], 5, ef_search=40)
    assert store.counts() == (COUNT, COUNT, 0)


def test_others_are_read_as_they_are(vectors: PostgresVectors, rows: Embeddings) -> None:
    assert vectors.count() == COUNT
    assert vectors.count(without=[1, 2, 10**6]) == COUNT - 2
    assert np.allclose(vectors.earliest(7), unit(rows[:7]), atol=1e-6)
    parts = list(vectors.vectors())
    assert np.concatenate([ids for ids, _ in parts]).tolist() == list(range(1, COUNT + 1))
    assert np.allclose(np.concatenate([part for _, part in parts]), unit(rows), atol=1e-6)
    assert vectors.search(queries()[0], 5, among=np.empty(0, np.int64))[1].tolist() == []


def test_index_is_kept_while_images_come_and_go(postgres: Server, rows: Embeddings) -> None:
    collection = SharedCollection.at(f"{postgres.database('changing')}?schema=changing")
    with collection.writing() as store:

        def publish() -> None:
            collection.publish(store, MODEL.fingerprint, DIM, rows[:20], lambda done, of: None)

        with store.transaction():
            store.activate(MODEL)
            root = store.add_root(b"/photos")
            store.set_index_options(IndexOptions("approximate", 0.9))
        ids = []
        for start in (0, 600, 1200):
            with store.transaction():
                generation = store.next_generation()
                for number in range(start, start + 600):
                    (vector,) = packed(rows[[number]])
                    new = NewContent(b"%016d" % number, 1, 1, "", None, None, bytes(1024), vector)
                    ids.append(store.put_content(new, MODEL.fingerprint, generation))
                    store.put_file(FileRow(root, b"%d" % number, 1, 1, ids[-1]))
            publish()
            own = store.own_index(MODEL.fingerprint)
            assert own is not None
            assert own.kind == ("flat" if start == 0 else "hnsw")
        with store.transaction():
            scope = Scope(root, collection.folder, b"1500")
            store.remove_files(scope)
            store.remove_contents(store.without_files(), store.next_generation())
        found = PostgresVectors.open(store, MODEL.fingerprint, DIM)
        assert found._hnsw is not None
        assert found.count() == 1799
        assert ids[1500] not in found.search(rows[1500], 5)[1].tolist()
        assert found.search(rows[1501], 1)[1].tolist() == [ids[1501]]
        with store.transaction():
            store.set_index_options(IndexOptions("exact"))
        publish()
        assert store.own_index(MODEL.fingerprint) == OwnIndex("flat")
        assert store.session.execute(
            "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'hnsw%' "
            "AND schemaname = 'changing'"
        ).fetchone() == (0,)
