"""Write the table of docs/models.md from what benchmarks/architectures.py found."""

import json
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "architectures.jsonl"
PAGE = REPOSITORY / "docs" / "models.md"
BEGIN, END = "<!-- written by scripts/write_models.py -->", "<!-- until here -->"
COLUMNS = ("architecture", "dim", "image", "M parameters", "bundle, MB", "images/s", "texts/s",
           "image tower", "text tower", "tokenizer")  # fmt: skip
GONE = "not tried (time)"
# benchmarks/architectures.py leaves out models with more parameters.
MAX_PARAMETERS = 6.75e9 / 4
# Compared in tests/unit/indexer/compile/test_architectures.py.
FAMILIES = ("RN50", "ViT-B-16-SigLIP", "coca_ViT-B-32", "ViT-B-32", "MobileCLIP2-S0",
            "convnext_base_w", "EVA02-B-16")  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Return an object per architecture, as open_clip lists them; untried ones have no towers."""
    counted = json.loads(RESULTS.with_suffix(".counts.json").read_text(encoding="utf-8"))
    tried = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        tried[row["arch"]] = row
    return [{**tried.get(arch, {}), **row} for arch, row in counted.items()]


def table() -> str:
    """Return the table in Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows()]
    return "\n".join(lines)


def summary() -> str:
    """Return how many towers had which outcome, in one sentence."""
    parts = []
    for tower in ("image", "text"):
        states = [_status(row, tower).split(" (")[0] for row in rows()]
        counts = {state: states.count(state) for state in sorted(set(states), reverse=True)}
        parts.append(f"{tower} towers: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    return f"Of {len(rows())} architectures, " + "; ".join(parts) + "."


def _status(row: dict[str, Any], tower: str) -> str:
    if tower in row:
        return str(row[tower]["status"])
    if row["arch"] in FAMILIES:
        return "verified (by the tests)"
    if row["parameters"] > MAX_PARAMETERS:
        return "too large for the machine this was measured on"
    return GONE


def _cells(row: dict[str, Any]) -> list[str]:
    image, text = row.get("image", {}), row.get("text", {})
    whole = image.get("bytes", 0) + text.get("bytes", 0)
    both = "bytes" in image and "bytes" in text
    height, width = row["image_size"]
    return [
        row["arch"],
        str(row["dim"]),
        str(width) if width == height else f"{width} x {height}",
        f"{row['parameters'] / 1e6:,.1f}",
        f"{whole / 1e6:,.0f}" if both else "",
        f"{image['per_second']:.3g}" if "per_second" in image else "",
        f"{text['per_second']:.3g}" if "per_second" in text else "",
        _status(row, "image"),
        _status(row, "text"),
        row["tokenizer"],
    ]


def main() -> None:
    """Put the table and the summary between the page's markers."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{summary()}\n\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
