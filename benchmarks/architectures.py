"""Try every architecture of open_clip with random weights, for the table of docs/models.md.

    python benchmarks/architectures.py RESULTS.jsonl [--minutes 55]

Each architecture is tried in its own process, in ascending order of size, with a limit on processor
time and memory; what RESULTS holds is not tried again. Text towers of equal configuration are
exported and compared once. `scripts/write_models.py` makes the table from
benchmarks/results/architectures.jsonl.

Rates are per second of processor time: what two free cores would do, whatever else runs meanwhile.
"""

import argparse
import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tower_trials import GIGABYTES, SECONDS, count, try_tower


def in_child(function: Any, *arguments: Any) -> dict[str, Any]:
    """Run `function(*arguments, out)` in a forked process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        child = multiprocessing.get_context("fork").Process(target=function, args=(*arguments, out))
        child.start()
        child.join()
        if child.exitcode == -signal.SIGXCPU:
            return {"status": f"not tried (more than {SECONDS // 60} minutes of a core here)"}
        if not out.is_file():
            return {"status": f"not tried (needs more than {GIGABYTES} GB of memory here)"}
        return json.loads(out.read_text())


def count_all(out: Path) -> None:
    """Write `count` of every architecture."""
    import open_clip

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    found = {}
    for arch in open_clip.list_models():
        try:
            found[arch] = count(arch)
        except Exception as exc:
            found[arch] = {"arch": arch, "error": " ".join(str(exc).split())[:200]}
    out.write_text(json.dumps(found))


def main(results: Path, minutes: float, only: list[str]) -> None:
    """Try what `results` does not hold yet."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Imported once: children are forked.
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401
    import open_clip  # noqa: F401
    import torch.onnx._internal.exporter._core  # noqa: F401
    import transformers  # noqa: F401

    import indexer.compile.onnx_export
    import indexer.compile.verify  # noqa: F401

    known: dict[str, dict[str, Any]] = {}
    if results.exists():
        for line in results.read_text().splitlines():
            known[json.loads(line)["arch"]] = json.loads(line)
    texts = {row["text_key"]: row for row in known.values() if "text" in row}
    counts = results.with_suffix(".counts.json")
    if not counts.exists():
        counts.write_text(json.dumps(in_child(count_all)))
    counted = json.loads(counts.read_text())
    begin = time.monotonic()
    for arch, row in sorted(counted.items(), key=lambda item: item[1].get("parameters", 0)):
        if only and arch not in only:
            continue
        if arch in known or "error" in row or time.monotonic() - begin > minutes * 60:
            continue
        start = time.monotonic()
        if 4 * row["parameters"] > 0.75 * GIGABYTES * 10**9:
            gone = "too large for the machine this was measured on"
            row |= {"image": {"status": gone}, "text": {"status": gone}}
        else:
            row["image"] = in_child(try_tower, arch, "image")
            like = texts.get(row["text_key"])
            row["text"] = like["text"] if like else in_child(try_tower, arch, "text")
            if like:
                row["text_like"] = like["arch"]
            texts.setdefault(row["text_key"], row)
        row["seconds"] = round(time.monotonic() - start, 1)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        statuses = [row[tower]["status"] for tower in ("image", "text")]
        sys.stdout.write(f"{arch} {statuses} {row['seconds']}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--only", action="append", default=[], metavar="ARCHITECTURE")
    given = parser.parse_args()
    main(given.results, given.minutes, given.only)
