"""A file of the collection, opened without following a link that leads out of its folders.

What a remote root holds is fetched only below the URLs that the operator allowed, since a
collection from elsewhere must not choose whom a server asks; and it is given out only where its
bytes are those that were indexed, whatever answers there now.

What was an image when it was indexed may have become a link to something else. So the path is
resolved first, has to lie below one of the collection's folders then, and each of its parts is
opened from the one before without following links: what changes between the two is refused.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from indexer.errors import RootUnavailable
from indexer.images.decode import Limits
from indexer.store.content_hash import digest as digest_of
from indexer.store.paths import is_url
from indexer.store.records import file_time, inside
from indexer.store.rows import StoredFile
from serving.services.errors import NotFound

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # not on Windows
DIRECTORY = getattr(os, "O_DIRECTORY", 0)
NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)
BINARY = getattr(os, "O_BINARY", 0)  # only on Windows
SEPARATOR = os.fsencode(os.sep)
# Bytes of a file whose server did not say how many there are.
MAX_UNKNOWN = Limits.max_bytes
# Archives on a drive, unlike `zip://::s3://…`.
LOCAL_ARCHIVES = (b"zip://::file://", b"tar://::file://")
# A client waits.
ATTEMPTS = 2


def read_first(
    files: Iterable[StoredFile],
    roots: Iterable[bytes],
    digest: bytes = b"",
    remote: Sequence[bytes] = (),
) -> tuple[StoredFile, bytes]:
    """Read the first of an image's files that is still what was indexed.

    Args:
        files: The image's files; those on drives come first.
        roots: Absolute paths of the indexed folders, and URLs.
        digest: The content's hash, for remote files.
        remote: URLs below which files may be fetched.

    Returns:
        The file and its bytes.

    Raises:
        NotFound: There is none.
    """
    known = list(roots)
    beyond = False
    for file in sorted(files, key=lambda file: is_url(file.path)):
        if not may_be_read(file.path, remote):
            beyond = True
            continue
        data = _fetch(file, known, digest) if is_url(file.path) else _read(file, known)
        if data is not None:
            return file, data
    if beyond:
        raise NotFound(
            "the file does not lie on this machine, and this server fetches none (--allow-remote "
            "allows it)"
        )
    raise NotFound(
        "the file is gone, has changed since it was indexed, or lies behind a link: index again"
    )


def may_be_read(path: bytes, remote: Sequence[bytes]) -> bool:
    """Return whether a file or root is on this machine, or below one of the allowed URLs."""
    here = not is_url(path) or path.startswith(LOCAL_ARCHIVES)
    return here or any(inside(url, path) is not None for url in remote)


def _fetch(file: StoredFile, roots: list[bytes], digest: bytes) -> bytes | None:
    """Return the bytes of a remote file; None where they cannot be had, or are others now."""
    root = next((root for root in roots if inside(root, file.path)), None)
    if root is None:
        return None
    from indexer.sources.opened import open_source

    try:
        source = open_source(root, current=True)
        # A byte more than there should be shows that there are more by now.
        length = file.size + 1 if file.size >= 0 else MAX_UNKNOWN
        data = source.read(inside(root, file.path) or b"", length, attempts=ATTEMPTS)
    except (OSError, RootUnavailable):
        return None
    return data if digest_of(data) == digest else None


def _read(file: StoredFile, roots: list[bytes]) -> bytes | None:
    try:
        # What is a link as it is looked at, and none as it is read, is an error.
        real = os.path.realpath(file.path)
        if not any(real.startswith(root.rstrip(SEPARATOR) + SEPARATOR) for root in roots):
            return None
        with open(_open(real), "rb") as opened:
            info = os.fstat(opened.fileno())
            same = (info.st_size, file_time(info)) == (file.size, file.mtime_ns)
            return opened.read(file.size) if stat.S_ISREG(info.st_mode) and same else None
    except OSError:
        return None


def _open(real: bytes) -> int:
    """Return a descriptor of this absolute path, none of whose parts may be a link."""
    if os.open not in os.supports_dir_fd:  # Windows
        return os.open(real, os.O_RDONLY | BINARY)
    *folders, name = real.split(SEPARATOR)[1:]
    here = os.open(Path(os.fsdecode(real)).anchor, os.O_RDONLY | DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | DIRECTORY | NO_FOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name, os.O_RDONLY | NO_FOLLOW | NON_BLOCKING, dir_fd=here)
    finally:
        os.close(here)
