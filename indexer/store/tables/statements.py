"""A connection as the tables use it, whichever database it leads to.

Apart from `base`, since a search from the command line pays for each class that it loads.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """What a statement has found, as DB-API cursors give it."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement has changed."""

    def fetchone(self) -> Any:
        """Return the next row; None where there is none."""

    def fetchmany(self, size: int, /) -> list[Any]:
        """Return so many more rows, or those that are left."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Statements(Protocol):
    """A connection, as the tables use it; `?` stands for each parameter."""

    def execute(self, statement: str, parameters: Sequence[Any], /) -> Rows:
        """Execute a statement."""

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> Rows:
        """Execute a statement for each of several rows."""

    def executescript(self, script: str, /) -> object:
        """Execute several statements."""
