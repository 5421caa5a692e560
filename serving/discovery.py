"""A server's word to this machine's user: where it listens, and a secret that lets the command in.

`clipdex search` asks a running server of its collection, which has the model loaded, rather than
load it by itself.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from indexer.store.collection import Collection

NAME = "server.json"


def announce(collection: Collection, host: str, port: int, secret: str) -> Path | None:
    """Write the file, readable by this user only; None where the disk does not let us."""
    path = collection.folder / NAME
    metadata = {"pid": os.getpid(), "host": host, "port": port, "secret": secret}
    try:
        collection.folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(metadata, file)
    except OSError:
        return None
    return path


def withdraw(path: Path | None) -> None:
    """Remove it, if it is still this process's."""
    if path is not None:
        with suppress(OSError, ValueError):
            if json.loads(path.read_text())["pid"] == os.getpid():
                path.unlink()
