"""Where a shared collection is: a URL of libpq's, and a schema in that database."""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from indexer.errors import CollectionError

SCHEMA = "clipdex"
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
SECRETS = frozenset({"password", "sslpassword"})
HIDDEN = "***"


@dataclass(frozen=True)
class Address:
    """A schema of a PostgreSQL database.

    Attributes:
        url: What libpq connects to; it may hold a password, so it is never shown.
        schema: The schema that holds the collection.
        shown: The address without a password, for people.
        user: The role that the URL names; empty where libpq chooses.
    """

    url: str = field(repr=False)
    schema: str
    shown: str
    user: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `postgresql://user@host/database?schema=NAME` and whatever else libpq takes.

        Raises:
            CollectionError: It is not such a URL, or the schema has an unusual name.
        """
        try:
            parts = urlsplit(text)
            fields = parse_qsl(
                parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)
            )
            # What a password with such characters in it would leave elsewhere is not shown.
            if parts.netloc.count("@") > 1 or "@" in parts.path or parts.fragment:
                raise ValueError
        except ValueError:
            raise CollectionError(
                "the collection's URL cannot be read: it is written "
                "postgresql://user@host/database?schema=NAME, and in a password @ is written %40, "
                "/ %2F, ? %3F and # %23"
            ) from None
        schema = [value for name, value in fields if name == "schema"] or [SCHEMA]
        if len(schema) > 1 or not NAME.fullmatch(schema[0]) or schema[0].startswith("pg_"):
            raise CollectionError(
                f"{', '.join(schema)!r} cannot be a collection's schema: it is one name of small "
                "letters, digits and _, which does not begin with a digit or pg_"
            )
        own = [(name, value) for name, value in fields if name != "schema"]
        user, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
        host = parts.netloc.rpartition("@")[2]
        url = f"postgresql://{parts.netloc}{parts.path}"
        shown = f"postgresql://{user}{':' + HIDDEN if colon else ''}{'@' if user else ''}{host}"
        masked = [(name, HIDDEN if name in SECRETS else value) for name, value in own]
        if schema[0] != SCHEMA:
            masked.append(("schema", schema[0]))
        return cls(
            url + _query(own), schema[0], f"{shown}{parts.path}{_query(masked)}", unquote(user)
        )

    @property
    def key(self) -> str:
        """What tells this place and role from others, without a password."""
        return self.shown.replace(f":{HIDDEN}@", "@")

    def without_secrets(self, text: str) -> str:
        """Return a text, such as a message of libpq, in which no password of the URL stands."""
        parts = urlsplit(self.url)
        secrets = [value for name, value in parse_qsl(parts.query) if name in SECRETS]
        written = parts.netloc.rpartition("@")[0].partition(":")[2]
        for secret in (self.url, *secrets, written, unquote(written)):
            if secret:
                text = text.replace(secret, HIDDEN)
        return text


def _query(fields: list[tuple[str, str]]) -> str:
    # libpq reads a plus sign as one, not as a space.
    return "?" + urlencode(fields, quote_via=quote, safe="/*") if fields else ""
