"""Which images a search may answer with: by folder, by date, by name.

An image passes when one of its files passes every condition. Its date is what the file says (EXIF,
XMP), else the file's time of change.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.scan.walk import excluded
from indexer.store.scope import Scope

from . import dates
from .folders import scopes_of

if TYPE_CHECKING:  # bring NumPy, which a request to a running server does not need
    from indexer.store.catalog import Catalog
    from indexer.store.codec import Ids

# Conditions of one statement: SQLite takes 1,000 joined by OR, and 32,766 parameters.
MAX_SCOPES = 200


@dataclass(frozen=True)
class Filter:
    """What an image must fulfil.

    folders: it lies in one of these (paths, or names of folders; see `folders.scopes_of`).
    since, until: dates as `dates.ACCEPTED` lists them; until takes in all of the day, month or
    year that it names. A bare date is compared with the wall clock where the photo was taken; one
    with a zone with the instant, where photos whose zone is unknown, and files' times, are taken
    to be in this machine's zone.
    exclude: globs as for indexing: against the names of files and folders, and their paths.
    among: more conditions, each as the content ids `(n,)` that pass.
    Raises QueryError for what is not a date.
    """

    folders: Sequence[Path | str] = ()
    since: str | None = None
    until: str | None = None
    exclude: Sequence[str] = ()
    among: Sequence["Ids"] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        self._moments()

    def __bool__(self) -> bool:
        return bool(self.folders or self.since or self.until or self.exclude or len(self.among))

    def ids(self, catalog: "Catalog") -> "Ids":
        """The contents that pass, `(n,)` ascending; raises QueryError for a folder without any."""
        import numpy as np

        query = self._prepare(catalog)
        found = np.unique(np.fromiter(query.contents(catalog), dtype=np.int64))
        for more in self.among:
            found = np.intersect1d(found, more)
        return found

    def paths(self, catalog: "Catalog", ids: Sequence[int]) -> dict[int, set[bytes]]:
        """For each of a few contents the absolute paths of its files that pass."""
        query = self._prepare(catalog)
        roots = catalog.roots()
        found: dict[int, set[bytes]] = {}
        for number in ids:
            for content, root, path in query.files(catalog, number):
                found.setdefault(content, set()).add(os.path.join(roots[root], path))
        return found

    def _moments(self) -> tuple[dates.Moment | None, dates.Moment | None]:
        return (
            dates.since(self.since) if self.since is not None else None,
            dates.until(self.until) if self.until is not None else None,
        )

    def _prepare(self, catalog: "Catalog") -> "_Query":
        conditions = ["files.content IS NOT NULL"]
        parameters: list[object] = []
        for moment, compare in zip(self._moments(), (">=", "<"), strict=True):
            if moment is not None:
                condition, values = _date_condition(moment, compare)
                conditions.append(condition)
                parameters.extend(values)
        scopes: list[Scope] = []
        for folder in self.folders:
            scopes.extend(scopes_of(catalog, folder))
        inside = [scope.condition for scope in scopes]
        if inside and len(inside) <= MAX_SCOPES:
            conditions.append("(" + " OR ".join(f"({text})" for text, _ in inside) + ")")
            parameters.extend(value for _, values in inside for value in values)
            scopes = []
        return _Query(
            " AND ".join(conditions),
            tuple(parameters),
            frozenset((scope.root, scope.below) for scope in scopes),
            tuple(os.fsencode(glob) for glob in self.exclude),
        )


class _Query:
    """Conditions for SQL, and what only Python can judge.

    within: (root, folder) of which one must hold the file; too many for one statement.
    """

    def __init__(
        self,
        condition: str,
        parameters: tuple[object, ...],
        within: frozenset[tuple[int, bytes]],
        exclude: tuple[bytes, ...],
    ) -> None:
        self.condition, self.parameters = condition, parameters
        self.tables = "files"
        if "taken_at" in condition:
            self.tables += " JOIN contents ON contents.id = files.content"
        self.within, self.exclude = within, exclude
        # Many files share a folder, which is judged once.
        self._folder_passes = lru_cache(maxsize=None)(self._judge_folder)

    def contents(self, catalog: "Catalog") -> Iterator[int]:
        """The contents of files that pass, some repeatedly."""
        if self.within or self.exclude:
            for content, _, _ in self.files(catalog):
                yield content
            return
        for (content,) in catalog.connection.execute(
            f"SELECT files.content FROM {self.tables} WHERE {self.condition}", self.parameters
        ):
            yield content

    def files(
        self, catalog: "Catalog", content: int | None = None
    ) -> Iterator[tuple[int, int, bytes]]:
        """(content, root, path) of the files that pass; all, or those of one content."""
        condition, parameters = self.condition, self.parameters
        if content is not None:
            condition, parameters = f"files.content = ? AND {condition}", (content, *parameters)
        for number, root, path in catalog.connection.execute(
            f"SELECT files.content, root, path FROM {self.tables} WHERE {condition}", parameters
        ):
            folder, name = os.path.split(path)
            if self._folder_passes(root, folder) and not excluded(path, name, self.exclude):
                yield number, root, path

    def _judge_folder(self, root: int, folder: bytes) -> bool:
        above = [folder]
        while above[-1]:
            above.append(os.path.dirname(above[-1]))
        if self.within and not any((root, part) in self.within for part in above):
            return False
        return not any(excluded(part, os.path.basename(part), self.exclude) for part in above[:-1])


def _date_condition(moment: dates.Moment, compare: str) -> tuple[str, tuple[int, ...]]:
    """SQL that holds for files on this side of the moment, and its parameters."""
    by_file = f"WHEN taken_at IS NULL THEN mtime_ns {compare} ?"
    nanoseconds = moment.instant * 10**9
    if moment.zoned:
        return (
            f"CASE {by_file} WHEN taken_offset IS NULL THEN taken_at {compare} ? "
            f"ELSE taken_at - 60 * taken_offset {compare} ? END",
            (nanoseconds, moment.wall, moment.instant),
        )
    return f"CASE {by_file} ELSE taken_at {compare} ? END", (nanoseconds, moment.wall)
