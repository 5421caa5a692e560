"""What every group of tables shares: a connection, and statements over many ids.

The statements are in SQL that SQLite and PostgreSQL both take; where one of them has a way of its
own, a method of its store replaces the one here.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from indexer.store.records import SEPARATOR, Scope

if TYPE_CHECKING:
    from .statements import Rows, Statements

# SQLite takes 32,766 parameters a statement and 1,000 conditions joined by OR.
MAX_PARAMETERS = 500
MAX_SCOPES = 200

SET_STATE = "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

# The origin of labels that the user gave.
OWN = "user"

Condition = tuple[str, tuple[object, ...]]
"""A part of a WHERE clause, and its parameters."""


class Tables:
    """Statements over one connection; the base of each group of tables."""

    def __init__(self, connection: "Statements") -> None:
        self._connection = connection

    def _query(self, statement: str, parameters: Sequence[object] = ()) -> "Rows":
        return self._connection.execute(statement, parameters)

    def _many(self, statement: str, rows: Iterable[Sequence[object]]) -> "Rows":
        return self._connection.executemany(statement, rows)

    def _value(self, statement: str, parameters: Sequence[object] = ()) -> Any:
        """Return the first column of the first row; None where there is no row."""
        row = self._query(statement, parameters).fetchone()
        return row[0] if row else None

    def _column(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        return [row[0] for row in self._query(statement, parameters)]

    def _by_ids(
        self, statement: str, ids: Sequence[int], before: Sequence[object] = ()
    ) -> Iterator[Any]:
        """Yield the rows of a statement whose `{ids}` stands for as many parameters as fit.

        Args:
            statement: SQL with `{ids}` in place of the parameters.
            ids: The ids to pass.
            before: Parameters that come before the ids.
        """
        for start in range(0, len(ids), MAX_PARAMETERS):
            chunk = [int(number) for number in ids[start : start + MAX_PARAMETERS]]
            marks = ", ".join("?" * len(chunk))
            yield from self._query(statement.replace("{ids}", marks), (*before, *chunk)).fetchall()


def scope_condition(scope: Scope) -> Condition:
    """Return SQL that holds for the files of a scope."""
    if not scope.below:
        return "root = ?", (scope.root,)
    below, values = below_condition(scope.root, scope.below)
    return f"((root = ? AND path = ?) OR ({below}))", (scope.root, scope.below, *values)


def below_condition(root: int, folder: bytes) -> Condition:
    """Return SQL that holds for the files below a folder of a root."""
    behind = folder + bytes([SEPARATOR[0] + 1])
    return "root = ? AND path >= ? AND path < ?", (root, folder + SEPARATOR, behind)


def any_of(scopes: Sequence[Scope]) -> Condition:
    """Return SQL that holds for the files of any of these scopes (at most MAX_SCOPES)."""
    conditions = [scope_condition(scope) for scope in scopes]
    text = " OR ".join(f"({condition})" for condition, _ in conditions)
    return f"({text})", tuple(value for _, values in conditions for value in values)
