"""Other programs, run whole: their wall time, and the memory that they and their children take."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

# What lies here is not asked of a hub.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "WANDB_MODE": "disabled"}
ANSWERED = "answered"
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Command:
    """What is run, where, and the environment variables that it gets beside the usual ones.

    answers: it prints the line ANSWERED once it has answered, and goes on: its time ends there.
    """

    argv: tuple[str | Path, ...]
    folder: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    answers: bool = False


@dataclass(frozen=True)
class Outcome:
    """seconds: wall. peak: MiB, 0 where it was not watched. output: what it printed."""

    seconds: float
    peak: float
    output: str


def run(command: Command, *, watched: bool = False) -> Outcome:
    """Run to the end; a watched run is slowed down by that, and its time is worth nothing.

    Raises RuntimeError, with what the command said, where it fails.
    """
    variables = {**os.environ, **OFFLINE, **command.variables}
    # Installed programs have their bytecode; one that runs from its sources shall keep it, too.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            peak = _Watch(process.pid) if watched else None
            assert process.stdout is not None
            lines, answered = _lines(process.stdout)
            process.wait()
            seconds = (answered if command.answers else time.perf_counter()) - began
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            said.seek(0)
            words = " ".join(map(str, command.argv))
            raise RuntimeError(
                f"{words}: exit {process.returncode}\n{''.join(lines)[-2000:]}{said.read()[-4000:]}"
            )
    return Outcome(seconds, peak.stop() if peak else 0.0, "".join(lines))


def _lines(output: IO[str]) -> tuple[list[str], float]:
    """All that is printed, and when the answer came."""
    lines, answered = [], float("nan")
    for line in output:
        if line.strip() == ANSWERED:
            answered = time.perf_counter()
        lines.append(line)
    return lines, answered


class _Watch:
    """The maximum memory of a process and all its descendants, sampled: the sum of their
    proportional set sizes, in which a page that several share counts once.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, sum(map(_proportional, _tree(self._pid))))

    def stop(self) -> float:
        """MiB."""
        self._over.set()
        self._thread.join()
        return self._peak / 1024


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):  # it has ended meanwhile
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listed.read_text().split():
                yield from _tree(int(child))


def _proportional(pid: int) -> int:
    """KiB; 0 of a process that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
