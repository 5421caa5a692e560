"""The PostgreSQL store, held to the contract of all stores on a real server."""

import itertools
from contextlib import AbstractContextManager, closing

import pytest

from indexer.store.postgres.address import Address
from indexer.store.protocol import StoreReader, StoreWriter
from support.postgres import Server
from support.store_contract import StoreContract

numbers = itertools.count()


@pytest.fixture(scope="module")
def url(postgres: Server) -> str:
    return postgres.database("contract")


class TestPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, url: str) -> None:
        # A schema of its own is an empty collection.
        self.address = Address.parse(f"{url}?schema=contract{next(numbers)}")

    def writing(self) -> AbstractContextManager[StoreWriter]:
        from indexer.store.postgres.store import PostgresStore

        return closing(PostgresStore.write(self.address))

    def reading(self) -> AbstractContextManager[StoreReader]:
        from indexer.store.postgres.store import PostgresStore

        return closing(PostgresStore.read(self.address))


class TestPooled(TestPostgres):
    """The same, with readers that share connections."""

    def reading(self) -> AbstractContextManager[StoreReader]:
        from indexer.store.postgres.store import PostgresStore

        return closing(PostgresStore.read(self.address, pooled=2))
