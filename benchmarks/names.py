"""What searches by name cost: for the one who waits for them, in the catalog, and to an index run.

usage: python benchmarks/names.py [--count 100000] [--rounds 5]

The collection has random vectors and telling names. Each text is asked for with names and without,
in turns; the encoder's time is in neither.
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from indexer.encoder import Encoder
from indexer.load import BUILT_IN, find_bundle, load_encoder
from indexer.store.catalog import writing
from indexer.store.collection import Collection
from indexer.store.rows import FileRow
from measure import report, spread
from random_collection import make_collection, random_vectors
from search import Engine
from search.ranking.query import EncodedQuery, Query
from search.request import SearchRequest

PLACES = ("Italy", "Norway", "Japan", "Chile", "Kenya", "Peru", "Spain", "Crete", "Malta", "Nepal")
WRITTEN = 20_000
TEXTS = {
    "one file": "IMG_004711",
    "a folder of 2 %": "norway 2021",
    "a folder of 10 %": "italy",
    "a word of all": "img",
    "no name": "two boats on a lake",
}


def name_of(number: int) -> str:
    place = PLACES[number % len(PLACES)]
    return f"{2020 + number // len(PLACES) % 5}/{place}/IMG_{number:06}.jpg"


def milliseconds(engine: Engine, encoded: EncodedQuery, repeats: int) -> float:
    """The median time of an answer."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        engine.answer(encoded)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def write_seconds(folder: Path, *, words: bool) -> float:
    """How long it takes to enter WRITTEN files, with the triggers that keep their words or not."""
    collection = Collection(folder)
    collection.create()
    with writing(collection, "benchmark") as catalog:
        if not words:
            for trigger in ("words_insert", "words_update", "words_delete"):
                catalog._query(f"DROP TRIGGER {trigger}")  # type: ignore[attr-defined]
        began = time.perf_counter()
        with catalog.transaction():
            root = catalog.add_root(b"/photos")
            for number in range(WRITTEN):
                name = name_of(number).encode()
                catalog.put_file(FileRow(root, name, 1, 1, None, "unreadable"))
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    encoder = load_encoder(BUILT_IN)
    bundle = find_bundle(BUILT_IN)
    assert bundle is not None
    with tempfile.TemporaryDirectory() as base:
        folder = make_collection(
            Path(base) / "collection",
            bundle,
            random_vectors(options.count, bundle.dim),
            names=[name_of(number) for number in range(options.count)],
        )
        with Engine.open(folder, staleness=1.0) as engine:
            rows = [row(engine, encoder, title, options.rounds) for title in TEXTS]
        catalog = Collection(folder).catalog
        with closing(sqlite3.connect(catalog)) as connection:
            (words,) = connection.execute(
                "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'path_words%'"
            ).fetchone()
        writes = [
            [write_seconds(Path(base) / f"{kept}{number}", words=kept) for kept in (False, True)]
            for number in range(options.rounds)
        ]
        plain, kept = (1e6 / WRITTEN * np.median(np.array(writes), axis=0)).tolist()
        size = catalog.stat().st_size
    report(
        "names",
        f"Searches by name, {options.count:,} images",
        rows,
        notes=[
            f"The words take {words / options.count:.0f} bytes an image, {words / size:.1%} of the "
            "catalog.",
            f"Entering a file takes {plain:.0f} µs without its words, and {kept:.0f} µs with them.",
        ],
    )


def row(engine: Engine, encoder: Encoder, title: str, rounds: int) -> dict[str, str]:
    requests = [SearchRequest(TEXTS[title], k=20, names=names) for names in (False, True)]
    plain, fused = (Query.of(request).encode(encoder) for request in requests)
    times = [
        (milliseconds(engine, plain, 10), milliseconds(engine, fused, 10)) for _ in range(rounds)
    ]
    return {
        "text": title,
        "images named": f"{engine.answer(fused).total_named:,}",
        "ms": spread([before for before, _ in times]),
        "ms with names": spread([after for _, after in times]),
        "ratio": f"{statistics.median(after / before for before, after in times):.2f}",
    }


if __name__ == "__main__":
    main()
