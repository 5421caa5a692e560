"""The installed command in a terminal."""

import os
import pty
import subprocess

from support.command import COMMAND


def in_terminal(*arguments: object, **environment: str) -> bytes:
    """What a command shows in a wide terminal without colours; it has to succeed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=theirs,
        stderr=theirs,
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
    assert process.wait() == 0, shown
    return shown
