"""Search a million vectors by codes and exactly, side by side; and with filters, and new vectors.

usage: python benchmarks/million.py FLICKR8K [--vectors 1000000] [--rounds 3] [--keep FOLDER]
    FLICKR8K: a folder with train.jsonl, whose photos' vectors are mixed with those of their
    neighbours until there are enough, and dev.jsonl, whose captions are the text queries

keep: a folder for the collection, which a later run takes instead of making it again.
Recall is of the ten best vectors; times are medians of all queries, then of the rounds.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, unit
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import BUILT_IN, find_bundle
from indexer.store.approximate.codes_file import publish_codes
from indexer.store.catalog import writing
from indexer.store.codec import Halves, Ids, packed
from indexer.store.collection import Collection
from indexer.store.records import IndexOptions
from indexer.store.rows import FileRow, NewContent
from indexer.store.vector_index import VectorIndex
from measure import COMMAND, REPOSITORY, report, seconds
from random_collection import make_collection, random_vectors
from search import Engine
from search.ranking.image_query import encode_image_files

TEXTS, IMAGES, NEIGHBOURS = 300, 300, 11
SHARES = (0.5, 0.05, 0.005, 0.0005)
NEW = 2000
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("flickr8k", type=Path)
    parser.add_argument("--vectors", type=int, default=MILLION)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recall", type=float, default=0.995)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    encoder = OnnxEncoder(find_bundle(BUILT_IN), threads=2)
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.keep or Path(scratch)
        place.mkdir(exist_ok=True)
        vectors = mixed_vectors(place, encoder, asked.flickr8k, asked.vectors)
        folder = place / "collection"
        if not (folder / "catalogue.sqlite3").exists():
            make_collection(folder, encoder.bundle, vectors)
        notes = _build(Collection(folder), encoder.bundle, asked.recall)
        written = captions(asked.flickr8k / "dev.jsonl")
        texts = encoder.encode_texts(written)
        rows = _measure(folder, encoder, vectors, written, texts, asked.rounds)
        rows.append(_new_vectors(folder, place, encoder, vectors, texts, asked.rounds))
        notes.append(_cold(folder, place, encoder.bundle, asked.rounds))
    name = "million" if len(vectors) == MILLION else f"million_{len(vectors) / MILLION:g}"
    report(name, f"{len(vectors):,} vectors of dimension {encoder.dim}", rows, notes=notes)


def _measure(
    folder: Path,
    encoder: OnnxEncoder,
    vectors: Halves,
    captions: list[str],
    texts: Embeddings,
    rounds: int,
) -> list[dict[str, str]]:
    random = np.random.default_rng(9)
    one, other = random.integers(len(vectors), size=(2, IMAGES))
    images = unit(unit(vectors[one]) + np.float32(0.3) * unit(vectors[other]))
    given = Given(encoder, dict(zip(captions, texts, strict=True)))
    with Engine.open(folder, encoder=given) as engine:  # type: ignore[arg-type]
        index = engine.index
        rows = [
            _searched("text queries", index, texts, rounds),
            _searched("image queries", index, images, rounds),
        ]
        for share in SHARES:
            among = np.flatnonzero(random.random(len(vectors)) < share) + 1
            what = f"text queries, {100 * share:g} % pass a filter"
            rows.append(_searched(what, index, texts[:50], rounds, among))

        def whole(number: int) -> None:
            engine.search(captions[number], k=10)

        fast, exact = _timed([whole], 100, rounds)[0], rows[0]["exact, ms"]
        rows.append(
            _row("Engine.search, vector given, beside the exact index", None, fast, float(exact))
        )
    return rows


def _new_vectors(
    folder: Path,
    place: Path,
    encoder: OnnxEncoder,
    vectors: Halves,
    texts: Embeddings,
    rounds: int,
) -> dict[str, str]:
    """Text queries after NEW vectors were added that have no codes yet, and as many removed."""
    random = np.random.default_rng(4)
    one, other = random.integers(len(vectors), size=(2, NEW))
    new = unit(unit(vectors[one]) + unit(vectors[other]))
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        grown = Path(shutil.copytree(folder, Path(scratch) / "collection"))
        _grow(Collection(grown), new, encoder.fingerprint)
        with Engine.open(grown, encoder=encoder) as engine:
            what = f"text queries, {NEW:,} added and as many removed since"
            return _searched(what, engine.index, texts, rounds)


def _grow(collection: Collection, new: Embeddings, mark: str) -> None:
    """Add vectors, and remove as many."""
    with writing(collection, "benchmark") as catalog, catalog.transaction():
        (root,) = catalog.roots()
        generation = catalog.next_generation()
        for number, vector in enumerate(packed(new)):
            file = NewContent(b"new-%012d" % number, 1, 1, "", None, None, bytes(1024), vector)
            content = catalog.put_content(file, mark, generation)
            catalog.put_file(FileRow(root, b"new-%d.jpg" % number, 0, 1, content))
        catalog.remove_contents(range(1, len(new) + 1), catalog.next_generation())


def _cold(folder: Path, place: Path, bundle: Bundle, rounds: int) -> str:
    """What a command takes from start to end, beside one on 10,000 images, and its memory."""
    small = place / "small"
    if not small.exists():
        make_collection(small, bundle, random_vectors(10_000, bundle.dim))
    times: dict[Path, list[float]] = {folder: [], small: []}
    for _ in range(3 * rounds):
        for one, own in times.items():
            own.append(seconds([COMMAND, "search", "a dog on a beach", "--collection", one]))
    large, little = (statistics.median(own) for own in times.values())
    code = (
        "import resource, sys; from search import Engine; e = Engine.open(sys.argv[1]);"
        "e.search('a dog'); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    kib = subprocess.run(
        [sys.executable, "-c", code, folder], check=True, capture_output=True, cwd=REPOSITORY
    ).stdout
    return (
        f"`clipdex search` cold: {large:.3f} s, at 10,000 images {little:.3f} s: "
        f"{large / little:.2f} times as long (medians of {3 * rounds}, in turns). Peak memory of a "
        f"process that asks once: {int(kib) / 1024:,.0f} MiB, mapped pages of the files among it."
    )


def mixed_vectors(place: Path, encoder: OnnxEncoder, flickr8k: Path, count: int) -> Halves:
    """Vectors `(count, dim)` in half precision, as a collection keeps them, mapped from a file."""
    kept = place / f"halves-{count}.npy"
    if kept.exists():
        kept_vectors: Halves = np.load(kept, mmap_mode="r")
        return kept_vectors
    rows = [json.loads(line) for line in (flickr8k / "train.jsonl").read_text().splitlines()]
    real = encode_image_files(encoder, [flickr8k / row["image"] for row in rows])
    near = np.argsort(-(real @ real.T), axis=1)[:, 1 : NEIGHBOURS + 1]
    random = np.random.default_rng(0)
    written = place / "halves.tmp"
    mixed: Halves = np.lib.format.open_memmap(
        written, mode="w+", dtype="<f2", shape=(count, real.shape[1])
    )
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        first = random.integers(len(real), size=size)
        parts = [first, *(near[first, random.integers(NEIGHBOURS, size=size)] for _ in range(2))]
        weights = random.dirichlet((1, 1, 1), size).astype(np.float32)
        mixed[start : start + size] = unit(
            np.sum([weights[:, [column]] * real[part] for column, part in enumerate(parts)], axis=0)
        )
    written.rename(kept)
    return mixed


def captions(file: Path) -> list[str]:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row["captions"][0] for row in rows][:TEXTS]


@dataclass
class Given:
    """An encoder whose texts were encoded before: what is timed is the search alone."""

    encoder: OnnxEncoder
    known: dict[str, Embeddings]

    def __getattr__(self, name: str) -> object:
        return getattr(self.encoder, name)

    def encode_texts(self, texts: list[str]) -> Embeddings:
        return np.stack([self.known[text] for text in texts])


def _build(collection: Collection, bundle: Bundle, recall: float) -> list[str]:
    """Make the codes if they are missing; return what is known of them."""
    assert bundle.bank is not None
    lines = []
    with writing(collection, "benchmark") as catalog:
        if catalog.codes_file(bundle.fingerprint) is None:
            with catalog.transaction():
                catalog.set_index_options(IndexOptions("approximate", recall))
            began = time.perf_counter()
            file = catalog.vector_files(bundle.fingerprint)[0]
            publish_codes(collection, catalog, bundle.fingerprint, file, bundle.bank)
            lines.append(f"Making the codes took {time.perf_counter() - began:,.0f} s.")
        made = catalog.codes_file(bundle.fingerprint)
        (file,) = catalog.vector_files(bundle.fingerprint)
    assert made is not None
    lines.append(
        f"{made.probes} lists and {made.depth} candidates a wanted vector; measured when they were "
        f"made: {made.text_recall:.4f} of text queries, {made.image_recall:.4f} of image queries. "
        f"Files: codes {made.size / 1e6:,.0f} MB, vectors {file.size / 1e6:,.0f} MB, catalog "
        f"{collection.catalog.stat().st_size / 1e6:,.0f} MB."
    )
    return lines


def _timed(searches: Sequence[Callable[[int], object]], queries: int, rounds: int) -> list[float]:
    """Milliseconds of each search: medians of the queries, then of the rounds, in turns."""
    found: list[list[float]] = [[] for _ in searches]
    for _ in range(rounds):
        for search, own in zip(searches, found, strict=True):
            times = []
            for number in range(queries):
                began = time.perf_counter()
                search(number)
                times.append(1000 * (time.perf_counter() - began))
            own.append(statistics.median(times))
    return [statistics.median(own) for own in found]


def _row(what: str, recall: float | None, fast: float, slow: float) -> dict[str, str]:
    return {
        "what": what,
        "recall@10": "" if recall is None else f"{recall:.4f}",
        "codes, ms": f"{fast:.2f}",
        "exact, ms": f"{slow:.1f}",
        "ratio": f"1/{slow / fast:.0f}" if slow >= 2 * fast else f"{fast / slow:.2f}",
    }


def _searched(
    what: str, index: VectorIndex, queries: Embeddings, rounds: int, among: Ids | None = None
) -> dict[str, str]:
    flat = VectorIndex(index.parts, index.removed, index.generation)
    truth = [flat.search(query, 10, among=among)[1] for query in queries]
    ours = [index.search(query, 10, among=among)[1] for query in queries]
    pairs = zip(ours, truth, strict=True)
    hits = sum(len({*found.tolist()} & {*wanted.tolist()}) for found, wanted in pairs)
    fast, slow = _timed(
        [lambda n, one=one: one.search(queries[n], 10, among=among) for one in (index, flat)],
        len(queries),
        rounds,
    )
    return _row(what, hits / sum(map(len, truth)), fast, slow)


if __name__ == "__main__":
    main()
