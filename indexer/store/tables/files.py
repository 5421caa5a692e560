"""Roots and their files, and the files that meet conditions."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from indexer.errors import QueryError
from indexer.store.clock import latest_believable
from indexer.store.codec import Ids, damaged_row
from indexer.store.paths import display, is_absolute
from indexer.store.records import (
    MAX_INTEGER,
    SEPARATOR,
    FileConditions,
    Moment,
    Scope,
    Words,
    join,
)

from .base import MAX_SCOPES, Condition, Tables, any_of, scope_condition

if TYPE_CHECKING:  # a search from the command line has no use for them
    from indexer.store.rows import Exclusion, FileRow, StoredFile

FoundFile = tuple[int, int, bytes]
"""(content, root, path relative to the root)."""


class FileTables(Tables):
    """The tables `roots` and `files`."""

    def roots(self) -> dict[int, bytes]:
        """Return the indexed folders by id.

        Raises:
            CollectionFormatError: One is not an absolute path.
        """
        found = dict(self._query("SELECT id, path FROM roots ORDER BY path").fetchall())
        for path in found.values():
            if not is_absolute(path) or b"\0" in path:
                raise damaged_row(f"the folder {path!r} is not an absolute path")
        return found

    def add_root(self, folder: bytes) -> int:
        """Enter a root, which takes in the roots below it.

        Returns:
            Its id.
        """
        number: int = self._value(
            "INSERT INTO roots (path) VALUES (?) ON CONFLICT (path) "
            "DO UPDATE SET path = excluded.path RETURNING id",
            (folder,),
        )
        self._take_in(number, folder)
        return number

    def _take_in(self, number: int, folder: bytes) -> None:
        """Move what belongs to the roots below a folder to its own root."""
        prefix = folder.rstrip(SEPARATOR) + SEPARATOR
        inner_roots = self._query(
            "SELECT id, path FROM roots WHERE path > ? AND path < ?",
            (prefix, prefix[:-1] + bytes([SEPARATOR[0] + 1])),
        ).fetchall()
        for inner, root in inner_roots:
            self._move_files(inner, number, root[len(prefix) :] + SEPARATOR)
            self._query("DELETE FROM roots WHERE id = ?", (inner,))

    def _move_files(self, inner: int, number: int, below: bytes) -> None:
        """Move what belongs to a root to another one, below a folder of it."""
        # What both roots know: a root that moves may come to lie above another.
        self._query(
            "DELETE FROM files WHERE root = ? AND EXISTS (SELECT 1 FROM files AS held "
            "WHERE held.root = ? AND held.path = CAST(? || files.path AS BLOB))",
            (inner, number, below),
        )
        for table in ("files", "mounts", "other_files"):
            self._query(
                f"UPDATE OR REPLACE {table} SET root = ?, "
                "path = CAST(rtrim(? || path, ?) AS BLOB) WHERE root = ?",
                (number, below, SEPARATOR, inner),
            )

    def hold_roots(self, numbers: Iterable[int]) -> None:
        """Keep other writers from removing these roots; here there are none."""

    def stored_files(self) -> "Iterator[FileRow]":
        """Yield what came of each file, in the order in which it was entered."""
        from indexer.store.rows import FileRow

        rows = self._query(
            "SELECT root, path, size, mtime_ns, content, reason FROM files ORDER BY id"
        )
        return (FileRow(*row) for row in rows)

    def move_root(self, number: int, folder: bytes) -> None:
        """Enter that a root lies at another path, and takes in the roots below it there."""
        self._query("UPDATE roots SET path = ? WHERE id = ?", (folder, number))
        self._take_in(number, folder)

    def sample_files(self, root: int, count: int) -> "list[FileRow]":
        """Return about `count` of a root's images, evenly chosen."""
        from indexer.store.rows import FileRow

        total = self._value(
            "SELECT count(*) FROM files WHERE root = ? AND content IS NOT NULL", (root,)
        )
        rows = self._query(
            "SELECT root, path, size, mtime_ns, content FROM files WHERE root = ? "
            "AND content IS NOT NULL AND id % ? = 0 LIMIT ?",
            (root, max(1, total // count), count),
        )
        return [FileRow(*row) for row in rows]

    def exclusions(self) -> "list[Exclusion]":
        """Return what scans leave out, in the order in which it was entered."""
        from indexer.store.rows import Exclusion

        rows = self._query("SELECT base, pattern, origin FROM exclusions ORDER BY id")
        return [Exclusion(*row) for row in rows]

    def add_exclusions(self, rules: "Iterable[Exclusion]") -> None:
        """Enter what scans leave out from now on."""
        self._many(
            "INSERT INTO exclusions (base, pattern, origin) VALUES (?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            ((rule.base, rule.pattern, rule.origin) for rule in rules),
        )

    def set_exclusions(self, rules: "Iterable[Exclusion]") -> None:
        """Enter what scans leave out, in place of all that they left out before."""
        self._query("DELETE FROM exclusions")
        self.add_exclusions(rules)

    def remove_exclusions(self, rules: "Iterable[Exclusion]") -> int:
        """Scan again what these left out; return how many there were."""
        return self._many(
            "DELETE FROM exclusions WHERE base = ? AND pattern = ? AND origin = ?",
            [(rule.base, rule.pattern, rule.origin) for rule in rules],
        ).rowcount

    def put_file(self, row: "FileRow") -> None:
        """Enter what came of a file, in place of what was known of it."""
        self._query(
            "INSERT INTO files (root, path, size, mtime_ns, content, reason) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content, "
            "reason = excluded.reason",
            (row.root, row.path, row.size, row.mtime_ns, row.content, row.reason),
        )

    def is_as_known(self, row: "FileRow") -> bool:
        """Return whether a file has the size, the time and the content that are known of it."""
        known = self._query(
            "SELECT size, mtime_ns, content FROM files WHERE root = ? AND path = ?",
            (row.root, row.path),
        ).fetchone()
        return bool(known == (row.size, row.mtime_ns, row.content))

    def remove_files(self, scope: Scope) -> int:
        """Forget the files of a scope, and its root if the scope is a whole root.

        Returns:
            How many files were forgotten; at least 1 for a whole root.
        """
        condition, values = scope_condition(scope)
        removed = self._query(f"DELETE FROM files WHERE {condition}", values).rowcount
        for table in ("mounts", "other_files"):
            self._query(f"DELETE FROM {table} WHERE {condition}", values)
        if scope.below:
            return removed
        self._query("DELETE FROM roots WHERE id = ?", (scope.root,))
        return max(removed, 1)

    def contents_in(self, scope: Scope) -> list[int]:
        """Return the contents that the files of a scope hold."""
        condition, values = scope_condition(scope)
        return self._column(
            f"SELECT DISTINCT content FROM files WHERE content IS NOT NULL AND {condition}", values
        )

    def holds(self, scope: Scope) -> bool:
        """Return whether anything is known of a scope: a root's own, or that of any file."""
        condition, values = scope_condition(scope)
        return not scope.below or bool(
            self._value(f"SELECT 1 FROM files WHERE {condition} LIMIT 1", values)
        )

    def paths_in(self, root: int) -> Iterator[bytes]:
        """Yield the path of each file of a root, relative to it."""
        for (path,) in self._query("SELECT path FROM files WHERE root = ?", (root,)):
            yield path

    def holds_images(self, scope: Scope) -> bool:
        """Return whether a file of the scope holds an image."""
        condition, values = scope_condition(scope)
        found = self._value(
            f"SELECT 1 FROM files WHERE {condition} AND content IS NOT NULL LIMIT 1", values
        )
        return found is not None

    def count_images(self, scope: Scope) -> int:
        """Return how many files of the scope hold an image."""
        condition, values = scope_condition(scope)
        count: int = self._value(
            f"SELECT count(*) FROM files WHERE {condition} AND content IS NOT NULL", values
        )
        return count

    def files_of(self, content: int) -> "list[StoredFile]":
        """Return a content's files, oldest entry first."""
        from indexer.store.rows import StoredFile

        rows = self._query(
            "SELECT roots.path, files.path, size, mtime_ns FROM files "
            "JOIN roots ON roots.id = files.root WHERE content = ? ORDER BY files.id",
            (content,),
        )
        return [StoredFile(join(root, path), size, changed) for root, path, size, changed in rows]

    def file_sizes(self, ids: Sequence[int]) -> dict[int, int]:
        """Return the size in bytes of the files that hold each of these contents."""
        return dict(
            self._by_ids(
                "SELECT content, max(size) FROM files WHERE content IN ({ids}) GROUP BY content",
                ids,
            )
        )

    def failures(self) -> Iterator[tuple[bytes, str]]:
        """Yield (absolute path, reason) of each file that could not be indexed."""
        for root, path, reason in self._query(
            "SELECT roots.path, files.path, reason FROM files "
            "JOIN roots ON roots.id = files.root WHERE reason IS NOT NULL "
            "ORDER BY roots.path, files.path"
        ):
            yield join(root, path), reason

    def counts(self) -> tuple[int, int, int]:
        """Return (files with a content, contents with a file, files that failed)."""
        row: tuple[int, int, int] = self._query(
            "SELECT (SELECT count(*) FROM files WHERE content IS NOT NULL),"
            " (SELECT count(*) FROM contents WHERE paths > 0),"
            " (SELECT count(*) FROM files WHERE reason IS NOT NULL)"
        ).fetchone()
        return row

    def folders(self) -> list[tuple[bytes, int]]:
        """Return (path relative to its root, files in and below it) of each folder, by path."""
        counts: dict[bytes, int] = {}
        for (path,) in self._query("SELECT path FROM files WHERE content IS NOT NULL"):
            end = path.rfind(SEPARATOR)
            while end > 0:
                counts[path[:end]] = counts.get(path[:end], 0) + 1
                end = path.rfind(SEPARATOR, 0, end)
        return sorted(counts.items())

    def files_below(self, name: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (root, path) of the files that may lie below a folder of this name.

        SQLite ignores the case of ASCII letters only, so all files come where the name has
        others: the caller compares again.
        """
        query = "SELECT root, path FROM files WHERE content IS NOT NULL"
        if not name.isascii():
            return iter(self._query(query))
        pattern = re.sub(r"([%_\\])", r"\\\1", name.decode("ascii"))
        return iter(
            self._query(
                query + " AND CAST(path AS TEXT) LIKE ? ESCAPE '\\'", (f"%{pattern}{os.sep}%",)
            )
        )

    def contents_meeting(self, conditions: FileConditions) -> Iterator[int]:
        """Yield the contents of the files that meet all conditions, some repeatedly."""
        if len(conditions.scopes) > MAX_SCOPES:
            for content, _, _ in self.files_meeting(conditions):
                yield content
            return
        tables, condition, values = self._meeting(conditions)
        for (content,) in self._query(
            f"SELECT files.content FROM {tables} WHERE {condition}", values
        ):
            yield content

    def files_meeting(
        self, conditions: FileConditions, content: int | None = None
    ) -> Iterator[FoundFile]:
        """Yield the files that meet all conditions; all of them, or those of one content."""
        tables, condition, values = self._meeting(conditions)
        if content is not None:
            condition, values = f"files.content = ? AND {condition}", (content, *values)
        rows: Iterator[FoundFile] = iter(
            self._query(f"SELECT files.content, root, path FROM {tables} WHERE {condition}", values)
        )
        if len(conditions.scopes) <= MAX_SCOPES:
            yield from rows
            return
        within = {(scope.root, scope.below) for scope in conditions.scopes}
        for found in rows:
            if any((found[1], part) in within for part in _with_folders(found[2])):
                yield found

    def _meeting(self, conditions: FileConditions) -> tuple[str, str, tuple[object, ...]]:
        """Return (tables, WHERE clause, parameters); too many scopes are left to the caller."""
        parts: list[Condition] = [("files.content IS NOT NULL", ())]
        for moment, compare in ((conditions.since, ">="), (conditions.until, "<")):
            if moment is not None:
                parts.append(_date_condition(moment, compare))
        if 0 < len(conditions.scopes) <= MAX_SCOPES:
            parts.append(any_of(conditions.scopes))
        for words in conditions.words:
            parts.append(self._condition_of(words))
        dated = conditions.since is not None or conditions.until is not None
        tables = "files JOIN contents ON contents.id = files.content" if dated else "files"
        return (
            tables,
            " AND ".join(text for text, _ in parts),
            tuple(value for _, values in parts for value in values),
        )

    def contents_named(self, words: Words, limit: int) -> Ids:
        """Return the contents `(n,)`, ascending, with a file whose path has these words.

        Args:
            words: The words.
            limit: About how many are enough, where there are more.
        """
        condition, values = self._condition_of(words, limit)
        # One row, since many would take longer to fetch than to find.
        joined = self._value(
            f"SELECT {self._joined} FROM (SELECT DISTINCT content FROM files "
            f"WHERE content IS NOT NULL AND {condition}) AS found",
            values,
        )
        return np.sort(np.array((joined or "").split(",") if joined else [], dtype=np.int64))

    # SQL for all values of the column `content` as one text, with commas between them.
    _joined = "group_concat(content, ',')"

    def _condition_of(self, words: Words, limit: int | None = None) -> Condition:
        """Return SQL that holds for files whose path has these words; for so many at most."""
        text, values = self._words_condition(words, limit)
        roots: list[int] = []
        if words.place == "folder":
            from indexer.store.paths import found_in  # few searches ask for names

            roots = [
                number
                for number, path in self.roots().items()
                if found_in(words.text, display(os.path.basename(path)), whole=words.whole)
            ][:MAX_SCOPES]
        marks = ", ".join("?" * len(roots))
        return (f"({text} OR root IN ({marks}))" if roots else text), (*values, *roots)

    @property
    def knows_words(self) -> bool:
        """Whether files are found by the words of their paths."""
        return self._value("SELECT 1 FROM sqlite_master WHERE name = 'path_words'") is not None

    def _words_condition(self, words: Words, limit: int | None) -> Condition:
        if not self.knows_words:
            raise QueryError(
                "an older clipdex wrote this collection, which kept no words of names: run "
                "`clipdex index` on one of its folders once, or `clipdex migrate`"
            )
        phrase = words.text.replace("\0", " ").replace('"', '""')
        return (
            "files.id IN (SELECT rowid FROM path_words WHERE path_words MATCH ? LIMIT ?)",
            (
                f'{words.place} : "{phrase}"' + ("" if words.whole else " *"),
                -1 if limit is None else limit,
            ),
        )


def _with_folders(path: bytes) -> Iterator[bytes]:
    """Yield a relative path and the folders above it, the root's own (empty) one last."""
    while path:
        yield path
        path = path.rpartition(SEPARATOR)[0]
    yield b""


def _date_condition(moment: Moment, compare: str) -> Condition:
    """Return SQL that holds for files on this side of the moment.

    A date that the file carries counts where it can be believed; otherwise, the file's time of
    change.
    """
    # A year beyond 2262 is after every file that SQLite can hold, and one before 1678 is before.
    nanoseconds = max(-MAX_INTEGER, min(moment.instant * 10**9, MAX_INTEGER))
    believable = latest_believable()
    by_file = f"WHEN taken_at IS NULL OR taken_at > {believable:d} THEN mtime_ns {compare} ?"
    if moment.zoned:
        return (
            f"CASE {by_file} WHEN taken_offset IS NULL THEN taken_at {compare} ? "
            f"ELSE taken_at - 60 * taken_offset {compare} ? END",
            (nanoseconds, moment.wall, moment.instant),
        )
    return f"CASE {by_file} ELSE taken_at {compare} ? END", (nanoseconds, moment.wall)
