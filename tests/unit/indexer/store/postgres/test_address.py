"""URLs of shared collections: what is connected to, what is shown, and what is refused."""

from pathlib import Path
from urllib.parse import unquote

import pytest

from indexer.errors import CollectionError
from indexer.store.collection import Collection, SharedCollection, locate
from indexer.store.postgres.address import Address


def test_schema_is_not_passed_on() -> None:
    parsed = Address.parse("postgresql://ann@db.example/photos?schema=family&sslmode=verify-full")
    assert parsed.schema == "family"
    assert parsed.url == "postgresql://ann@db.example/photos?sslmode=verify-full"
    assert parsed.shown == "postgresql://ann@db.example/photos?sslmode=verify-full&schema=family"
    assert Address.parse("postgres://db.example/photos").schema == "clipdex"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:secret@db/photos", "postgresql://ann:***@db/photos"),
        ("postgresql://ann:x:%40secret@db/photos", "postgresql://ann:***@db/photos"),
        ("postgresql://db/photos?user=ann&password=secret",
         "postgresql://db/photos?user=ann&password=***"),
        ("postgresql://a:secret@one:1,two:2/photos", "postgresql://a:***@one:1,two:2/photos"),
        ("postgresql:///photos?host=/run/postgresql", "postgresql:///photos?host=/run/postgresql"),
    ],
)  # fmt: skip
def test_password_is_not_shown(url: str, shown: str) -> None:
    parsed = Address.parse(url)
    assert parsed.shown == shown
    assert "secret" not in repr(parsed) + parsed.key
    if "***" in shown:
        said = parsed.without_secrets(f"cannot connect with {url}, {unquote(url)}")
        assert "secret" not in said


def test_place_does_not_depend_on_the_password() -> None:
    one, other = (locate(f"postgresql://ann{secret}@db/photos") for secret in ("", ":secret"))
    assert isinstance(one, SharedCollection)
    assert one.folder == other.folder
    assert one.folder != locate("postgresql://bob@db/photos").folder


@pytest.mark.parametrize("password", ["sec@ret", "sec/ret", "sec?ret", "sec#ret", "sec[ret"])
def test_password_that_is_not_encoded_is_refused_unseen(password: str) -> None:
    with pytest.raises(CollectionError, match="%40") as caught:
        Address.parse(f"postgresql://ann:{password}@db/photos")
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize("schema", ["Photos", "pg_photos", "1", "a-b", "", "a;drop", "x" * 64])
def test_unusual_schema_is_refused(schema: str) -> None:
    with pytest.raises(CollectionError, match="cannot be a collection's schema"):
        Address.parse(f"postgresql://db/photos?schema={schema}")


def test_url_in_a_path_is_refused() -> None:
    with pytest.raises(CollectionError, match="by a str"):
        locate(Path("postgresql://ann@db/photos"))


def test_url_is_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPDEX_COLLECTION", "postgresql://ann@db/photos")
    assert locate().shown == "postgresql://ann@db/photos"
    monkeypatch.setenv("CLIPDEX_COLLECTION", "postgresql")
    assert locate() == Collection(Path("postgresql").absolute())
