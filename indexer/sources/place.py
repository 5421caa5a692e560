"""What a user names to be indexed: a folder, an image, or the URL of either."""

import os
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import RootUnavailable
from indexer.store.paths import is_remote


@dataclass(frozen=True)
class Place:
    """A folder or an image that is there.

    Attributes:
        path: The absolute path with links followed, or the URL as a collection keeps it.
        folder: The folder that becomes a root if no root contains it: `path`, or what the image
            lies in; of an archive, all of it.
    """

    path: bytes
    folder: bytes

    @classmethod
    def find(cls, path: Path | str) -> "Place":
        """Find what a user has named.

        Raises:
            OSError: It is not there, or cannot be asked for.
            ValueError: It is not a path.
            RuntimeError: Its links lead in a circle.
            RootUnavailable: It is a URL that is not read.
        """
        if is_remote(path):
            return cls._remote(os.fsdecode(path))
        real = Path(path).resolve(strict=True)
        return cls(os.fsencode(real), os.fsencode(real.parent if real.is_file() else real))

    @classmethod
    def _remote(cls, text: str) -> "Place":
        from .opened import exists, open_source
        from .url import Url

        url = Url.parse(text)
        if url.archive:
            # The scan opens it: a tar is gone through for that, and there may be thousands.
            if url.below:
                open_source(url.root, current=True).entry(url.below)
            elif not exists(url):
                raise RootUnavailable(f"{text} is a folder, and no .{url.archive} file")
            return cls(url.path, url.root)
        above, _, name = url.root.rpartition(b"/")
        if open_source(url.root).entry(b"").state is None:
            return cls(url.root, url.root)
        if above.endswith(b"/"):
            raise RootUnavailable(f"{text} is neither a folder nor an image in one")
        assert name
        return cls(url.root, above)
