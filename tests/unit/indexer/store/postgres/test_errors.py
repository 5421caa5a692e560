"""What a shared collection says when it cannot be used: one line of what, why, what to do."""

import itertools
import re
import socket
from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

import pytest

from indexer.errors import (
    CollectionError,
    CollectionFormatError,
    CollectionNotFound,
    CollectionStorageError,
)
from indexer.migrate_collection import migrate
from indexer.store.catalog import open_reader, write_transaction, writing
from indexer.store.collection import locate
from indexer.store.postgres import schema
from support.postgres import PASSWORD, SECURED, Server
from support.store_contract import MODEL, add, content

numbers = itertools.count()


@pytest.fixture(scope="module")
def database(postgres: Server) -> str:
    return postgres.database("errors")


@pytest.fixture
def url(database: str) -> str:
    """An empty collection."""
    url = f"{database}?schema=errors{next(numbers)}"
    with writing(locate(url), "test") as store, store.transaction():
        store.activate(MODEL)
        add(store, store.add_root(b"/photos"), b"a.jpg", content(1))
    return url


def read(url: str) -> None:
    open_reader(locate(url)).close()


def write(url: str) -> None:
    with writing(locate(url), "test") as store, store.transaction():
        store.set_reader_version(1, 1)


def refused(
    what: Callable[[str], None], url: str, kind: type[CollectionError], *parts: str
) -> None:
    with pytest.raises(kind) as caught:
        what(url)
    said = str(caught.value)
    assert "\n" not in said
    for part in parts:
        assert re.search(part, said), said


@pytest.mark.parametrize("what", [read, write])
def test_server_that_is_away(what: Callable[[str], None]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        refused(
            what, f"postgresql://ann:secret@127.0.0.1:{port}/photos", CollectionStorageError,
            rf"^postgresql://ann:\*\*\*@127.0.0.1:{port}/photos cannot be reached", "refused",
            "Check host and port",
        )  # fmt: skip


def test_password(postgres: Server) -> None:
    def at(password: str) -> str:
        return postgres.url("postgres", SECURED, quote(password, safe=""))

    for password in ("", "wr@ng/word"):
        refused(
            read, at(password), CollectionStorageError, "does not let this user in",
            "password", r"\$PGPASSWORD",
        )  # fmt: skip
        with pytest.raises(CollectionError) as caught:
            read(at(password))
        assert "wr@ng" not in str(caught.value)
        assert "wr%40ng" not in str(caught.value)
    refused(read, at(PASSWORD), CollectionNotFound, "nothing was indexed yet")


def test_password_of_the_environment(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    refused(read, postgres.url("postgres", SECURED), CollectionNotFound, "nothing was indexed")


def test_database_or_role_that_is_not_there(postgres: Server) -> None:
    refused(read, postgres.url("nowhere"), CollectionNotFound, "names a database that is not there")
    refused(
        read,
        postgres.url("postgres", "nobody_here"),
        CollectionStorageError,
        "does not let",
        "role",
    )


def test_nothing_indexed_yet(database: str) -> None:
    for what in (read, lambda url: write_transaction(locate(url), "test").__enter__()):
        refused(what, f"{database}?schema=nothing", CollectionNotFound, "nothing was indexed yet")
    assert not locate(f"{database}?schema=nothing").exists


def test_tls_that_the_server_does_not_have(database: str) -> None:
    refused(
        read, f"{database}?sslmode=require", CollectionStorageError, "no safe connection", "sslmode"
    )


def test_option_that_libpq_does_not_know(database: str) -> None:
    refused(read, f"{database}?colour=red", CollectionError, "not a URL that libpq takes", "colour")


def test_extension_that_this_role_may_not_make(postgres: Server) -> None:
    url = postgres.database("bare", extension=False)
    postgres.sql("CREATE ROLE plain LOGIN")
    postgres.sql("GRANT CREATE ON DATABASE bare TO plain")
    plain = url.replace("postgres@", "plain@")
    refused(write, plain, CollectionStorageError, "no extension vector", "CREATE EXTENSION vector")
    write(url)  # its administrator may
    write(f"{plain}?schema=plain")


def test_reader_may_not_write(postgres: Server, url: str) -> None:
    name = url.rpartition("=")[2]
    postgres.sql(
        f"CREATE ROLE looks LOGIN; GRANT USAGE ON SCHEMA {name} TO looks; "
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO looks",
        "errors",
    )
    looks = url.replace("postgres@", "looks@")
    with closing(open_reader(locate(looks))) as store:
        assert store.counts() == (1, 1, 0)
    refused(write, looks, CollectionStorageError, "this role may not do that", "permission denied")
    stranger = url.replace("postgres@", "strange@")
    postgres.sql("CREATE ROLE strange LOGIN")
    refused(read, stranger, CollectionStorageError, "may not look into", "docs/scaling.md")


def test_server_that_is_read_only(postgres: Server, url: str) -> None:
    refused(
        write, f"{url}&options=-cdefault_transaction_read_only%3Don", CollectionStorageError,
        "can only be read", "primary",
    )  # fmt: skip


def test_newer_format_is_refused(postgres: Server, url: str) -> None:
    name = url.rpartition("=")[2]
    postgres.sql(f"INSERT INTO {name}.migrations VALUES (999)", "errors")
    for what in (read, write):
        refused(what, url, CollectionFormatError, r"newer clipdex \(format 999", "Upgrade")


def test_older_format_is_brought_up_to_date_by_a_writer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = (*schema.MIGRATIONS, "ALTER TABLE roots ADD COLUMN added bigint")
    monkeypatch.setattr(schema, "MIGRATIONS", added)
    refused(read, url, CollectionFormatError, f"older format {len(added) - 1}", "clipdex migrate")
    assert migrate(locate(url)) == (len(added) - 1, len(added))
    write(url)
    with closing(open_reader(locate(url))) as store:
        assert store.counts() == (1, 1, 0)


def test_collection_that_was_removed(postgres: Server, url: str) -> None:
    name = url.rpartition("=")[2]
    with closing(open_reader(locate(url))) as store:
        assert store.counts() == (1, 1, 0)
        postgres.sql(f"DROP SCHEMA {name} CASCADE", "errors")
        with pytest.raises(CollectionNotFound, match="nothing was indexed yet, or it was removed"):
            store.counts()


def test_writer_waits_no_longer_than_it_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.errors import CollectionLocked
    from indexer.store.postgres import store as module

    monkeypatch.setattr(module, "LOCK_SECONDS", 1)
    with writing(locate(url), "test") as first, first.transaction():
        refused(write, url, CollectionLocked, "another program holds", "Wait until it ends")


def test_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "psycopg" else find(name)
    )
    with pytest.raises(CollectionError, match=r"needs the package psycopg.*clipdex\[postgres\]"):
        locate("postgresql://ann@db/photos")
