"""Time the two ways to search among images that pass a filter, and find where they break even.

Gathering copies the vectors that pass and multiplies them; selecting lets FAISS skip the others.
`indexer/store/vector_index.py` chooses between the two by GATHER_SHARE. "ids by SQL" is what
finding the images of a folder or of some dates costs before that.

usage: python benchmarks/filters.py [--images 100000] [--rounds 40]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from indexer.encoder import unit
from indexer.load import BUILT_IN, find_bundle
from indexer.store import vector_index
from indexer.store.vector_index import VectorIndex
from measure import report, spread
from random_collection import make_collection, random_vectors
from search import Engine, Filter

SHARES = (0.5, 0.1, 0.02, 0.01, 0.005, 0.002, 0.001)
K = 10


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def recall(index: VectorIndex, rows: np.ndarray, query: np.ndarray, among: np.ndarray) -> float:
    """Of the best by brute force among these ids (1 to n, of `rows`), how many were found."""
    scores = rows[among - 1] @ query
    best = among[np.argsort(-scores, kind="stable")[:K]]
    return float(np.isin(best, index.search(query, K, among=among)[1]).mean())


def file_names(count: int) -> list[str]:
    """Spread the files over folders, so that a folder's filter takes the share that it names."""
    names = []
    for number in range(1, count + 1):
        name = f"{number:09}.jpg"
        for share in SHARES:
            if number % 1000 < round(1000 * share):
                name = f"{share}/{name}"
        names.append(name)
    return names


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    asked = parser.parse_args()
    random = np.random.default_rng(1)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        bundle = find_bundle(BUILT_IN)
        made = random_vectors(asked.images, bundle.dim)
        names = file_names(asked.images)
        folder = make_collection(Path(scratch) / "c", bundle, made, names=names)
        with Engine.open(folder) as engine:
            index, dim = engine.index, engine.model.dim
            stored = np.concatenate([unit(part.halves) for part in index.parts])
            queries = random.standard_normal((asked.rounds, dim)).astype(np.float32)
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
            whole = [timed(lambda q=query: index.search(q, K)) for query in queries]
            for share in SHARES:
                ids = np.arange(1, asked.images + 1)
                among = np.sort(random.choice(ids, round(share * len(ids)), replace=False))
                times: dict[str, list[float]] = {"gather": [], "select": [], "kept": []}
                chosen = vector_index.GATHER_SHARE
                # Side by side, so that the machine's moods meet both alike.
                for query in queries:
                    for way, border in (("gather", 0), ("select", 10**9), ("kept", chosen)):
                        vector_index.GATHER_SHARE = border
                        times[way].append(
                            timed(lambda q=query, a=among: index.search(q, K, among=a))
                        )
                found = {
                    way: min(
                        recall(index, stored, query, among)
                        for query in queries[:20]
                        if not setattr(vector_index, "GATHER_SHARE", border)
                    )
                    for way, border in (("gather", 0), ("select", 10**9))
                }
                vector_index.GATHER_SHARE = chosen
                by_folder = Filter([f"{share}"])
                sql = [timed(lambda f=by_folder: f.ids(engine.catalog)) for _ in range(5)]
                until = str(np.datetime64(round(share * asked.images), "s")) + "Z"
                by_date = Filter(until=until)
                dated = [timed(lambda f=by_date: f.ids(engine.catalog)) for _ in range(5)]
                ratio = np.median(times["select"]) / np.median(times["gather"])
                costs = f"{np.median(sql):.3g}, {np.median(dated):.3g}"
                rows.append(
                    {
                        "passing, %": f"{100 * share:g}",
                        "gather, ms": spread(times["gather"]),
                        "select, ms": spread(times["select"]),
                        "select / gather": f"{ratio:.2f}",
                        "as chosen, ms": f"{np.median(times['kept']):.3g}",
                        "recall@10, minimum": f"{found['gather']:g} and {found['select']:g}",
                        "ids by SQL: folder, date, ms": costs,
                    }
                )
    title = (
        f"Filters over {asked.images:,} vectors of dimension {dim} "
        f"(without a filter: {spread(whole)} ms)"
    )
    report("filters", title, rows)


if __name__ == "__main__":
    main()
