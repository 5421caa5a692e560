"""One image of a collection: its files and its kind, as they were indexed."""

from dataclasses import dataclass

from .catalog import Catalog, join


@dataclass(frozen=True)
class StoredFile:
    """A file that holds a content; `path` is absolute, `size` in bytes."""

    path: bytes
    size: int
    mtime_ns: int


class Tally:
    """How many images a catalog holds, counted again only when somebody has written to it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._counted: tuple[int, int] | None = None

    def images(self) -> int:
        """Contents that have a file."""
        query = self._catalog.connection.execute
        version: int = query("PRAGMA data_version").fetchone()[0]
        if self._counted is None or self._counted[0] != version:
            self._counted = version, self._catalog.counts()[1]
        return self._counted[1]


def files_of(catalog: Catalog, content: int) -> list[StoredFile]:
    """A content's files, oldest entry first."""
    return [
        StoredFile(join(root, path), size, changed)
        for root, path, size, changed in catalog.connection.execute(
            "SELECT roots.path, files.path, size, mtime_ns FROM files "
            "JOIN roots ON roots.id = files.root WHERE content = ? ORDER BY files.id",
            (content,),
        )
    ]


def kind_of(catalog: Catalog, content: int) -> tuple[bytes, str] | None:
    """(hash, format) of a content that has a file; None where there is none."""
    found: tuple[bytes, str] | None = catalog.connection.execute(
        "SELECT hash, format FROM contents WHERE id = ? AND paths > 0", (content,)
    ).fetchone()
    return found


def folders_of(catalog: Catalog) -> list[tuple[bytes, int]]:
    """(path relative to its root, files in it and below) of each folder, by path."""
    counts: dict[bytes, int] = {}
    for (path,) in catalog.connection.execute("SELECT path FROM files WHERE content IS NOT NULL"):
        end = path.rfind(b"/")
        while end > 0:
            folder = path[:end]
            counts[folder] = counts.get(folder, 0) + 1
            end = path.rfind(b"/", 0, end)
    return sorted(counts.items())
