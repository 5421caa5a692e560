"""Runs clipdex, and says what is wrong with how it ended and with what a collection answers."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

COMMAND = Path(sys.executable).parent / "clipdex"
HANGS_AFTER = 240
EXPECTED = frozenset({0, 1, 2, 3})
ENDS = ("kill", "interrupt", "interrupt twice", "terminate")

Done = subprocess.CompletedProcess[bytes]


def clipdex(*arguments: object, prefix: Sequence[str] = (), **environment: str) -> Done:
    """Run the command, behind `prefix`; one that hangs is killed, and says so."""
    command = [*prefix, str(COMMAND), *map(str, arguments)]
    try:
        return subprocess.run(
            command, capture_output=True, timeout=HANGS_AFTER, env={**os.environ, **environment}
        )
    except subprocess.TimeoutExpired:
        return Done(command, -signal.SIGKILL, b"", b"it hung")


def wrong(done: Done, expected: Collection[int] = EXPECTED) -> str | None:
    """Return what is wrong about how a command ended; None for nothing.

    A command that is refused says why in one line.
    """
    said = done.stderr
    traceback = b"Traceback" in said or b"a fault of clipdex" in said
    explained = done.returncode != 1 or b"error: " in said
    if done.returncode in expected and explained and not traceback:
        return None
    return f"exit code {done.returncode}: {said[-300:]!r}"


def ended(arguments: Sequence[object], how: str, draw: random.Random, longest: float) -> str | None:
    """Run a command and end it; return what was wrong about how it ended, None for nothing.

    Args:
        arguments: Of the command.
        how: One of `ENDS`.
        draw: Draws the moment.
        longest: Seconds that the command may run.
    """
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # The interpreter itself needs about this long before it looks at signals.
    time.sleep(draw.uniform(0.1, longest))
    sent = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM}.get(how, signal.SIGINT)
    process.send_signal(sent)
    if how == "interrupt twice":
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(sent)
    try:
        _, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "it hung"
    if process.returncode == -sent and (sent == signal.SIGKILL or not said):
        return None  # killed, or before the interpreter was there
    code = 128 + sent
    return wrong(Done([], process.returncode, b"", said), {*EXPECTED, code})


def answer(collection: Path) -> list[str] | str:
    """Return the files that a search finds, or the error."""
    done = clipdex("search", "a red thing", "-k", 1000, "--json", "--collection", collection)
    fault = wrong(done, {0, 1})
    if fault:
        return fault
    if done.returncode == 1:
        return done.stderr.decode().strip()
    return sorted(json.loads(line)["path"] for line in done.stdout.splitlines())
