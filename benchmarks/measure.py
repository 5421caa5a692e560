"""What all benchmarks share: describing the machine, timing commands, writing results."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

RESULTS = Path(__file__).parent / "results"
COMMAND = Path(sys.executable).parent / "clipdex"


def machine() -> dict[str, str]:
    """Return what describes the machine: date, processor, system, packages."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    packages = ("clipdex", "onnxruntime", "faiss-cpu", "pillow", "numpy")
    return {
        "date": date.today().isoformat(),
        "cpu": f"{model}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
    }


def seconds(command: Sequence[str | Path], **options: Any) -> float:
    """Wall time of one command, which must succeed. As a user runs it: its bytecode is kept."""
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=variables, **options)
    return time.perf_counter() - began


def spread(values: Sequence[float]) -> str:
    """Median and range, for a table."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def report(
    name: str, title: str, rows: list[dict[str, Any]], *, notes: Sequence[str] = (), **more: Any
) -> None:
    """Write `results/NAME.json` and `.md`, and show the table.

    notes: stand below the table, as a list.
    """
    here = machine()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"machine": here, "rows": rows, **more}, indent=1) + "\n"
    )
    script = Path(sys.argv[0]).resolve().relative_to(REPOSITORY).as_posix()
    heads = list(rows[0])
    lines = [
        f"# {title}",
        "",
        f"`python {script}`, {here['date']}: {here['cpu']}; {here['system']}; {here['packages']}.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + " --- |" * len(heads),
        *("| " + " | ".join(str(row[head]) for head in heads) + " |" for row in rows),
    ]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    text = "\n".join(lines) + "\n"
    (RESULTS / f"{name}.md").write_text(text)
    sys.stdout.write(text + "\n")
