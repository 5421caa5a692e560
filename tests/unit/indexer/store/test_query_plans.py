"""No statement of the store scans a table for each row of another: its cost would be a product."""

import inspect
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from indexer.store.catalog import Catalog, writing
from indexer.store.collection import Collection
from indexer.store.protocol import StoreReader, StoreWriter
from support.store_contract import StoreContract

# Of the engine, not of a table.
NOT_STATEMENTS = {"close", "snapshot", "transaction", "erasing"}


def scans_inside(connection: sqlite3.Connection, statement: str) -> list[str]:
    """The steps of a statement's plan that read a whole table for each row of something else."""
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    children: dict[int, list[tuple[int, str]]] = {}
    for number, parent, _, detail in rows:
        children.setdefault(parent, []).append((number, detail))
    found: list[str] = []

    def visit(parent: int, repeated: bool) -> None:
        looping = repeated
        for number, detail in children.get(parent, []):
            if detail.startswith("SCAN") and not detail.startswith("SCAN CONSTANT"):
                if looping:
                    found.append(detail)
                looping = True
            elif detail.startswith(("SEARCH", "MULTI-INDEX")):
                looping = True
            visit(number, repeated or detail.startswith("CORRELATED"))

    visit(0, False)
    return found


class Traced(StoreContract):
    """The contract's tests, with the plan of each statement looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.called: set[str] = set()
        self.statements: dict[str, list[str]] = {}

    @contextmanager
    def _traced(self, catalog: Catalog) -> Iterator[Catalog]:
        statements: set[str] = set()
        connection = catalog._connection
        connection.set_trace_callback(statements.add)
        called = self.called

        class Recorded(Catalog):
            def __getattribute__(self, name: str) -> object:
                called.add(name)
                return super().__getattribute__(name)

        catalog.__class__ = Recorded
        yield catalog
        connection.set_trace_callback(None)
        for statement in statements:
            if statement.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
                self.statements[statement] = scans_inside(connection, statement)

    @contextmanager
    def writing(self) -> Iterator[StoreWriter]:
        self.number += 1
        collection = Collection(self.folder / str(self.number))
        collection.create()
        with writing(collection, "test") as catalog, self._traced(catalog) as traced:
            traced.begin_scan()
            yield traced

    @contextmanager
    def reading(self) -> Iterator[StoreReader]:
        catalog = Catalog.open(Collection(self.folder / str(self.number)))
        try:
            with self._traced(catalog) as traced:
                yield traced
        finally:
            catalog.close()


def test_no_statement_scans_inside_a_scan(tmp_path: Path) -> None:
    traced = Traced(tmp_path)
    for name, test in inspect.getmembers(traced, inspect.ismethod):
        if name.startswith("test_"):
            with pytest.MonkeyPatch.context() as patch:
                test(*[patch for _ in inspect.signature(test).parameters])
    wanted = {name for name in {*vars(StoreReader), *vars(StoreWriter)} if name[0] != "_"}
    assert sorted(wanted - NOT_STATEMENTS - traced.called) == [], "the contract calls all of them"
    assert len(traced.statements) > 80
    slow = {statement: steps for statement, steps in traced.statements.items() if steps}
    assert not slow


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM a, b WHERE a.x + 0 = b.x + 0",
        "SELECT * FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.x = a.x OR b.x + 0 = a.x)",
    ],
)
def test_products_are_found(statement: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript("CREATE TABLE a (x INTEGER); CREATE TABLE b (x INTEGER PRIMARY KEY);")
    assert scans_inside(connection, statement)
    assert not scans_inside(connection, "SELECT * FROM a JOIN b ON b.x = a.x")
