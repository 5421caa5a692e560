"""The graph that leads to the nearest vectors: pgvector's HNSW, one index for each model.

Below some tens of thousands of vectors the server scores every one of them. Above, the graph
proposes some, as many as find the wanted share of the ten best, measured on text and image queries
when it is made; their scores are always those of the vectors themselves.

Source: Malkov & Yashunin, Efficient and Robust Approximate Nearest Neighbor Search Using
Hierarchical Navigable Small World Graphs, TPAMI 2020.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from psycopg import sql

from indexer.encoder import Embeddings, unit
from indexer.errors import CollectionStorageError
from indexer.notices import say
from indexer.store.content_hash import digest
from indexer.store.records import IndexOptions

from .connections import Cursor
from .halfvec import Full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .store import PostgresStore

# From this many vectors on a graph is worth its making: measured by benchmarks/postgres.py.
APPROXIMATE_FROM = 20_000
# Fewer make no graph.
LEAST = 1_000
# What pgvector indexes of halfvec at most.
MAX_DIM = 4_000
# How many vectors a search keeps in view, from the cheapest to the dearest; and pgvector's limit.
EF_SEARCH = (40, 100, 200, 400, 800)
MAX_EF_SEARCH = 1_000
# A search that a filter leaves too little goes on until it has seen so many.
MAX_SCAN_TUPLES = 20_000
# Links of a vector, as pgvector comes, and candidates while it is linked. Graphs are drawn by
# chance: of the ten best of 100,000, 50 text queries found 97.0 and 98.8 % by two made with 64 of
# these, 97.6 and 99.6 % by two made with 128, and 99.8 % by one with 24 links, which took longer.
LINKS, EF_CONSTRUCTION = 16, 128
# Queries of each kind that measure what is found, and the neighbours that are looked for.
QUERIES, NEIGHBOURS = 50, 10
# What is found is measured anew once there are this many times as many vectors.
GROWTH = 2
# By how much a score may differ where the query is rounded to half precision: half a unit in the
# last of 11 binary digits, times the lengths of both vectors. And how many more are scored first.
ROUNDING, MORE = 2.0**-11 + 1e-5, 60
# What making a graph takes, besides the vectors, in bytes each; and at most.
LINK_BYTES, MAX_MAKING_BYTES = 400, 2 << 30

# For one transaction. What a filter lets pass is not known to the planner, which without the last
# ones would often score every vector.
SETTINGS = (
    "SELECT set_config('hnsw.ef_search', ?, true), "
    "set_config('hnsw.iterative_scan', 'relaxed_order', true), "
    f"set_config('hnsw.max_scan_tuples', '{MAX_SCAN_TUPLES}', true), "
    "set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)"
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Hnsw:
    """The index of a model, and how it is searched.

    Attributes:
        vectors: How many there were when it was measured.
        ef_search: How many vectors a search keeps in view.
        text_recall: The share of the ten best that text queries found.
        image_recall: The share that image queries found.
    """

    vectors: int
    ef_search: int
    text_recall: float
    image_recall: float

    @classmethod
    def of(cls, store: "PostgresStore", fingerprint: str) -> Self | None:
        """Return the index of a model; None where there is none that is whole and wanted."""
        if store.index_options().kind == "exact" or _state(store, fingerprint) is not True:
            return None
        row = store.session.execute(
            "SELECT vectors, ef_search, text_recall, image_recall FROM indexes "
            "WHERE fingerprint = ?",
            (fingerprint,),
        ).fetchone()
        return None if row is None else cls(*row)

    @property
    def recall(self) -> float:
        """The share that both kinds of query found at least."""
        return min(self.text_recall, self.image_recall)


def index_name(fingerprint: str) -> str:
    """Return the name of a model's index; names have at most 63 characters, fingerprints 64."""
    return f"hnsw_{digest(fingerprint.encode()).hex()}"


def is_wanted(options: IndexOptions, vectors: int, dim: int) -> bool:
    """Return whether so many vectors are to be searched by a graph."""
    if dim > MAX_DIM or options.kind == "exact":
        return False
    return vectors >= (APPROXIMATE_FROM if options.kind == "auto" else LEAST)


def drop(store: "PostgresStore", fingerprint: str) -> None:
    """Drop the index of a model, if there is one."""
    name = sql.Identifier(index_name(fingerprint))
    with store.session.connection() as connection:
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(name))
    store.session.execute("DELETE FROM indexes WHERE fingerprint = ?", (fingerprint,))


def publish(
    store: "PostgresStore", fingerprint: str, dim: int, texts: Embeddings, progress: Progress
) -> None:
    """Make the index of a model if it is due, while others search and write.

    Of several writers, one does it. Where this role may not, searches score every vector.

    Args:
        store: The collection, open for writing.
        fingerprint: The model's.
        dim: Length of its vectors.
        texts: Text queries `(n, dim)` that measure what is found.
        progress: Called with (vectors done, of how many).
    """
    options, total = store.index_options(), store.count_embeddings(fingerprint)
    state = _state(store, fingerprint)
    with _only_one(store, fingerprint) as mine:
        if not mine:
            return
        try:
            if not is_wanted(options, total, dim):
                if state is not None and options.kind == "exact":
                    drop(store, fingerprint)
                return
            known = Hnsw.of(store, fingerprint)
            if known and total < GROWTH * known.vectors and known.recall >= options.recall:
                return
            progress(0, total)
            if state is not True:
                drop(store, fingerprint)  # what a writer that was killed has left
                _make(store, fingerprint, dim, total)
            found = _measure(store, fingerprint, dim, texts, options.recall, total)
            progress(total, total)
        except CollectionStorageError as exc:
            say(f"the index for faster searches was not made: {exc}")
            return
    if found.recall < options.recall and found != known:
        say(
            f"the index finds {found.recall:.1%} of the ten best images, and {options.recall:.1%} "
            "are wanted: `clipdex index --index exact` scores every vector"
        )


def nearest(
    store: "PostgresStore",
    fingerprint: str,
    dim: int,
    query: Embeddings,
    count: int,
    *,
    ef_search: int,
    conditions: str = "",
    values: tuple[object, ...] = (),
) -> list[tuple[int, float]]:
    """Return (id, exact score) of the best vectors that the index leads to, best first.

    Args:
        store: The collection.
        fingerprint: The model's.
        dim: Length of its vectors.
        query: `(dim,)`.
        count: How many.
        ef_search: How many vectors to keep in view for ten of them; for more, as many more.
        conditions: SQL that follows the model's.
        values: Its parameters.
    """
    # The condition and the expression are the index's own, literally: so the planner knows it.
    kept = min(max(ef_search, ef_search * count // NEIGHBOURS), MAX_EF_SEARCH)
    proposed = max(count, kept)
    statement = (
        "WITH near AS MATERIALIZED (SELECT content, vector FROM embeddings "
        f"WHERE fingerprint = '{fingerprint}'{conditions} "
        f"ORDER BY vector::halfvec({dim:d}) <#> ?::halfvec({dim:d}) LIMIT {proposed:d}) "
        "SELECT content, -(vector::vector <#> ?) AS score FROM near "
        f"ORDER BY vector::vector <#> ?, content LIMIT {count:d}"
    )
    wanted = Full(query)
    with store.session.held() as connection, connection.pipeline():
        connection.execute("BEGIN")
        store.session.execute(SETTINGS, (str(kept),))
        cursor = store.session.execute(statement, (*values, wanted, wanted, wanted))
        connection.execute("COMMIT")
        return _pairs(cursor)


def exact(
    store: "PostgresStore",
    fingerprint: str,
    query: Embeddings,
    count: int,
    conditions: str = "",
    values: tuple[object, ...] = (),
) -> list[tuple[int, float]]:
    """Return (id, score) of the best of all vectors, best first; see `nearest`.

    A query in half precision is compared with all of them, which takes half the time; the best by
    that are scored exactly, and more of them until no other can score as high.
    """
    wanted, asked = Full(query), 4 * count + MORE
    while True:
        rows = store.session.execute(
            "WITH near AS MATERIALIZED (SELECT content, vector, -(vector <#> ?::halfvec) AS rough "
            f"FROM embeddings WHERE fingerprint = ?{conditions} "
            "ORDER BY vector <#> ?::halfvec LIMIT ?) "
            "SELECT content, -(vector::vector <#> ?) AS score, min(rough) OVER () FROM near "
            "ORDER BY score DESC, content",
            (wanted, fingerprint, *values, wanted, asked, wanted),
        ).fetchall()
        if len(rows) < asked or rows[0][2] + ROUNDING < rows[count - 1][1]:
            return [(number, score) for number, score, _ in rows[:count]]
        asked *= 4


def _pairs(cursor: Cursor) -> list[tuple[int, float]]:
    return [(number, score) for number, score in cursor.fetchall()]


def _state(store: "PostgresStore", fingerprint: str) -> bool | None:
    """Return whether the index of a model is whole; None where there is none."""
    row = store.session.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(?)",
        (index_name(fingerprint),),
    ).fetchone()
    return None if row is None else bool(row[0])


@contextmanager
def _only_one(store: "PostgresStore", fingerprint: str) -> "Iterator[bool]":
    """Yield whether no other writer makes the index now."""
    name = (store.lock_name(f"index {fingerprint}"),)
    mine = store.session.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(?, 0))", name
    ).fetchone()[0]  # type: ignore[index]  # it has a row
    try:
        yield mine
    finally:
        if mine:
            store.session.execute("SELECT pg_advisory_unlock(hashtextextended(?, 0))", name)


def _make(store: "PostgresStore", fingerprint: str, dim: int, total: int) -> None:
    wanted = min(total * (2 * dim + LINK_BYTES), MAX_MAKING_BYTES) // 1024
    store.session.execute(
        "SELECT set_config('maintenance_work_mem', greatest(?, setting::bigint)::text, false) "
        "FROM pg_settings WHERE name = 'maintenance_work_mem'",
        (wanted,),
    )
    before = store.session.execute("SELECT current_setting('lock_timeout')").fetchone()
    store.session.execute("SET lock_timeout = 0")  # it waits for those who search
    with store.session.connection() as connection:
        connection.execute(
            sql.SQL(
                "CREATE INDEX CONCURRENTLY {} ON embeddings USING hnsw "
                "((vector::halfvec({})) halfvec_ip_ops) WITH (m = {}, ef_construction = {}) "
                "WHERE fingerprint = {}"
            ).format(
                sql.Identifier(index_name(fingerprint)),
                *map(sql.Literal, (dim, LINKS, EF_CONSTRUCTION, fingerprint)),
            )
        )
    store.session.execute("SELECT set_config('lock_timeout', ?, false)", before or ("0",))
    store.session.execute("ANALYZE embeddings")


def _measure(
    store: "PostgresStore",
    fingerprint: str,
    dim: int,
    texts: Embeddings,
    wanted: float,
    total: int,
) -> Hnsw:
    """Choose how the index is searched, as cheaply as finds the wanted share, and keep that."""
    rows = store.session.execute(
        "SELECT vector FROM embeddings WHERE fingerprint = ? AND content % ? = 0 LIMIT ?",
        (fingerprint, max(1, total // (2 * QUERIES)), QUERIES),
    ).fetchall()
    halves = np.frombuffer(b"".join(row[0] for row in rows), "<f2").reshape(-1, dim)
    images = unit(halves)
    words = texts[:: max(1, len(texts) // QUERIES)][:QUERIES] if len(texts) else images
    best = [
        [_ids(exact(store, fingerprint, query, NEIGHBOURS)) for query in queries]
        for queries in (words, images)
    ]
    for ef_search in EF_SEARCH:
        shares = [
            _share(store, fingerprint, dim, queries, found, ef_search)
            for queries, found in zip((words, images), best, strict=True)
        ]
        if min(shares) >= wanted:
            break
    made = Hnsw(total, ef_search, *shares)
    with store.transaction():
        store.session.execute("DELETE FROM indexes WHERE fingerprint = ?", (fingerprint,))
        store.session.execute(
            "INSERT INTO indexes VALUES (?, ?, ?, ?, ?)",
            (fingerprint, made.vectors, made.ef_search, made.text_recall, made.image_recall),
        )
    return made


def _share(
    store: "PostgresStore",
    fingerprint: str,
    dim: int,
    queries: Embeddings,
    best: list[set[int]],
    ef_search: int,
) -> float:
    found = [
        nearest(store, fingerprint, dim, query, NEIGHBOURS, ef_search=ef_search)
        for query in queries
    ]
    hits = sum(len(_ids(one) & wanted) for one, wanted in zip(found, best, strict=True))
    return hits / max(1, sum(map(len, best)))


def _ids(pairs: list[tuple[int, float]]) -> set[int]:
    return {number for number, _ in pairs}
