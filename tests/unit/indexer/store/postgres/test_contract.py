"""The PostgreSQL store, held to the contract of all stores on a real server."""

import itertools
from contextlib import AbstractContextManager, closing

import pytest

from indexer.store.protocol import StoreReader, StoreWriter
from support.postgres import Server, postgres  # noqa: F401  # a fixture
from support.store_contract import StoreContract

numbers = itertools.count()


class TestPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, postgres: Server) -> None:  # noqa: F811
        from indexer.store.postgres.address import Address

        if not hasattr(postgres, "contract"):
            postgres.contract = postgres.database("contract")  # type: ignore[attr-defined]
        # A schema of its own is an empty collection.
        url = f"{postgres.contract}?schema=contract{next(numbers)}"  # type: ignore[attr-defined]
        self.address = Address.parse(url)

    def writing(self) -> AbstractContextManager[StoreWriter]:
        from indexer.store.postgres.store import PostgresStore

        return closing(PostgresStore.write(self.address))

    def reading(self) -> AbstractContextManager[StoreReader]:
        from indexer.store.postgres.store import PostgresStore

        return closing(PostgresStore.read(self.address))
