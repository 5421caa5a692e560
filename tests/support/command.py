"""The installed command, and what it prints."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


COMMAND = Path(sys.executable).parent / "clipdex"


Run = Callable[..., subprocess.CompletedProcess[bytes]]


def json_lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """The JSON objects that a command printed."""
    return [json.loads(line) for line in done.stdout.splitlines()]
