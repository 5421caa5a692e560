"""The SQLite store, held to the contract of all stores."""

from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from indexer.store.catalog import Catalog, writing
from indexer.store.collection import Collection
from indexer.store.protocol import StoreReader, StoreWriter
from support.store_contract import StoreContract


class TestSqlite(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.collection = Collection(tmp_path / "collection")
        self.collection.create()

    def writing(self) -> AbstractContextManager[StoreWriter]:
        return writing(self.collection, "test")

    def reading(self) -> AbstractContextManager[StoreReader]:
        return closing(Catalog.open(self.collection))
