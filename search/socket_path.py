"""Where a running server answers the commands of its user.

That is a Unix socket in a folder that only this user can enter, named by the collection's path.
Nothing in the collection says where a server is: a collection that came from elsewhere must not be
able to choose who gets to read the user's words. Every search from the command line looks there, so
that little is imported here.
"""

import os
from pathlib import Path

from indexer.store.content_hash import digest
from indexer.user_folders import runtime_folder


def socket_path(collection: Path) -> Path | None:
    """Return where a server of a collection listens for the commands of this user.

    Returns:
        The path, at which nothing need listen; None where the system has no Unix sockets or no
        folder for this user alone.
    """
    folder = runtime_folder()
    if folder is None:
        return None
    return folder / f"{digest(os.fsencode(os.path.realpath(collection))).hex()}.sock"
