"""Time a query's text, cut to its length and at the tower's full length, and loading the tower.

usage: python benchmarks/text_tower.py BUNDLE QUERIES.jsonl [--queries 500] [--rounds 5]

BUNDLE: a compiled model's folder, or `random:ARCH` for an architecture of open_clip's with random
weights, which is compiled here. QUERIES.jsonl: lines with "captions"; the first of each is a query.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.encoders.onnx_encoder import MAPPED_RUNS, TEXT_BATCH, OnnxEncoder
from measure import report, spread

# Loads the tower in one way, encodes one query, and prints seconds and resident memory in MiB.
LOAD = """
import sys, time
import onnxruntime as ort
from indexer.bundle import Bundle
from indexer.onnx_encoder import OnnxEncoder
from pathlib import Path

def resident():
    lines = open("/proc/self/status").read().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return [int(fields[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon")]

encoder = OnnxEncoder(Bundle.load(Path(sys.argv[1])), device="cpu")
ids = encoder.tokenizer([sys.argv[3]], cut=sys.argv[2] == "mapped")
before = resident()
began = time.perf_counter()
if sys.argv[2] == "mapped":
    vector = encoder.encode_ids(ids)
else:
    session = ort.InferenceSession(
        str(encoder.bundle.folder / "text.onnx"), providers=["CPUExecutionProvider"]
    )
    vector = session.run(None, {"ids": ids})[0]
print(time.perf_counter() - began, *(now - then for now, then in zip(resident(), before)))
"""


def obtain(name: str, scratch: Path) -> Bundle:
    """Return the bundle in a folder, or one with random weights."""
    if not name.startswith("random:"):
        return Bundle.load(Path(name))
    import open_clip

    from indexer.compile.compiler import compile_model
    from random_models import random_model

    arch = name.removeprefix("random:")
    loaded = random_model(arch, tokenizer=open_clip.get_tokenizer(arch))
    return compile_model(loaded, scratch / arch, name=arch)


def one_by_one(encoder: OnnxEncoder, queries: list[str], *, cut: bool) -> np.ndarray:
    """Return the vectors `(n, dim)` of queries that come one after the other."""
    return np.concatenate([encoder.encode_ids(encoder.tokenizer([q], cut=cut)) for q in queries])


def in_batches(encoder: OnnxEncoder, queries: list[str], *, cut: bool) -> np.ndarray:
    """Return the vectors `(n, dim)` of queries that come at once, as for `label` and `eval`."""
    if cut:
        return encoder.encode_texts(queries)
    batches = [queries[at : at + TEXT_BATCH] for at in range(0, len(queries), TEXT_BATCH)]
    return np.concatenate([encoder.encode_ids(encoder.tokenizer(batch)) for batch in batches])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("queries_file", type=Path)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    lines = asked.queries_file.read_text(encoding="utf-8").splitlines()
    queries = [json.loads(line)["captions"][0] for line in lines[: asked.queries]]
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        bundle = obtain(asked.bundle, Path(scratch))
        encoder = OnnxEncoder(bundle, device="cpu")
        lengths = [encoder.tokenizer([query], cut=True).shape[1] for query in queries]
        one_by_one(encoder, queries[: 2 * MAPPED_RUNS], cut=True)  # from now on weights are packed
        ways = {"one by one": one_by_one, f"in batches of {TEXT_BATCH}": in_batches}
        for title, way in ways.items():
            times: dict[bool, list[float]] = {True: [], False: []}
            moved = 0.0
            for _ in range(asked.rounds):
                vectors = {}
                for cut, seen in times.items():
                    began = time.perf_counter()
                    vectors[cut] = way(encoder, queries, cut=cut)
                    seen.append(1000 * (time.perf_counter() - began) / len(queries))
                moved = max(moved, float(np.abs(vectors[True] - vectors[False]).max()))
            ratio = statistics.median(times[False]) / statistics.median(times[True])
            rows.append(
                {
                    f"{len(queries)} queries, {bundle.name}": title,
                    "ids a query": f"{np.mean(lengths):.1f} of {bundle.text.context_length}",
                    "full length, ms a query": spread(times[False]),
                    "cut, ms a query": spread(times[True]),
                    "times as fast": f"{ratio:.1f}",
                    "maximum difference of a component": f"{moved:.1g}",
                }
            )
        report("text_cut", "Text cut to its length", rows)
        loads: dict[str, list[list[float]]] = {"default": [], "mapped": []}
        for _ in range(asked.rounds):
            for way, seen in loads.items():
                command = [sys.executable, "-c", LOAD, str(bundle.folder), way, queries[0]]
                printed = subprocess.check_output(command, text=True, cwd=Path(__file__).parents[1])
                seen.append([float(value) for value in printed.split()])
    titles = {
        "default": "ONNX Runtime's defaults: graph optimised, weights packed, full length",
        "mapped": "clipdex: graph as it is, weights mapped, cut",
    }
    rows = [
        {
            "text tower of " + bundle.name: titles[way],
            "load and encode one query, ms": spread([1000 * one[0] for one in seen]),
            "peak memory it adds, MiB": spread([one[1] for one in seen]),
            "of it private (not mapped from the file), MiB": spread([one[2] for one in seen]),
        }
        for way, seen in loads.items()
    ]
    report("text_loading", "Loading the text tower for one query", rows, loads=loads)


if __name__ == "__main__":
    main()
