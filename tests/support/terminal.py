"""The installed command in a terminal."""

import os
import pty
import subprocess
from pathlib import Path

from support.command import COMMAND


def in_terminal(
    *arguments: object, code: int = 0, cwd: Path | None = None, **environment: str
) -> bytes:
    """What a command shows in a wide terminal without colours; it has to end with this code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "300", **environment},
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(ours)
    assert process.wait() == code, shown
    return shown
