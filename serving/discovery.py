"""The file in which a server tells this machine's user where it listens, with a secret to enter.

`clipdex search` asks a running server of its collection, which has the model loaded, rather than
loading it itself.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from indexer.store.collection import Collection

NAME = "server.json"


def announce(collection: Collection, host: str, port: int, secret: str) -> Path | None:
    """Write the file, readable by this user only; return None when the disk refuses."""
    path = collection.folder / NAME
    server = {"pid": os.getpid(), "host": host, "port": port, "secret": secret}
    try:
        collection.folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(server, file)
    except OSError:
        return None
    return path


def withdraw(path: Path | None) -> None:
    """Remove the file, if it is still this process's."""
    if path is not None:
        with suppress(OSError, ValueError):
            if json.loads(path.read_text())["pid"] == os.getpid():
                path.unlink()
