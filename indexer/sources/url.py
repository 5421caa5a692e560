"""URLs of folders and images, as people write them and as a collection keeps them.

A collection keeps `s3://bucket/prefix` as it is, without what fsspec knows under two names, and an
archive by fsspec's chain: `zip://::s3://bucket/photos.zip`, with the path inside behind it. No
credentials are kept: a URL that carries some is refused.
"""

import os
import re
from dataclasses import dataclass
from typing import Self

from indexer.errors import RootUnavailable
from indexer.store.paths import display, is_url

# What is read, by the package that fsspec needs for it beside itself; none for those that need no
# other. Schemes that run commands, read other places than they name, or write copies are not here.
PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "oci": "ocifs",
    "http": "aiohttp",
    "https": "aiohttp",
    "ftp": "",
    "sftp": "paramiko",
    "memory": "",
}
SAME = {"s3a": "s3", "gcs": "gs", "ssh": "sftp"}
ARCHIVES = ("zip", "tar")
# Archives of these alone may lie on a drive; a folder there is named by its path.
LOCAL = "file"
ARCHIVE_NAME = re.compile(r"(?i)\.(zip|tar)$")
COMPRESSED_TAR = re.compile(r"(?i)\.(tar\.\w+|tgz|tbz2?|txz)$")


@dataclass(frozen=True)
class Url:
    """A folder, an image or an archive, or something inside an archive.

    Attributes:
        archive: "zip" or "tar"; empty for what is in none.
        place: What fsspec opens, without a slash at its end: the folder, image or archive.
        below: The path inside the archive.
    """

    archive: str
    place: str
    below: bytes = b""

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Parse a URL as it was typed, or as a collection keeps it.

        Raises:
            RootUnavailable: It is of a scheme that is not read, carries credentials, or names
                nothing that can be read; the message does not repeat what may be secret.
        """
        typed = os.fsdecode(text)
        scheme, _, rest = typed.partition("://")
        scheme = SAME.get(scheme.lower(), scheme.lower())
        if scheme in ARCHIVES:
            return cls._in_archive(scheme, rest)
        return cls("", _checked(scheme, rest))

    @classmethod
    def _in_archive(cls, kind: str, rest: str) -> Self:
        below, chained, place = rest.partition("::")
        if not chained:
            below, place = "", rest
        if "::" in place:
            raise RootUnavailable(
                f"{kind}:// takes one archive: an archive inside another one is not read"
            )
        scheme, named, path = place.partition("://")
        if not named:
            scheme, path = LOCAL, place
        path, inner = _cut_behind_archive(path, on_drive=scheme.lower() == LOCAL)
        if COMPRESSED_TAR.search(path):
            raise RootUnavailable(
                f"{path} is compressed as a whole, so that no image in it can be read without "
                "all before it: unpack it, or make a .tar or .zip of it"
            )
        below = "/".join(part for part in (below.strip("/"), inner) if part)
        if any(part in ("", ".", "..") for part in below.split("/")) and below:
            raise RootUnavailable(f"{below} is not a path inside an archive")
        if scheme.lower() == LOCAL:
            place = f"{LOCAL}://{_absolute(path)}"
        else:
            place = _checked(SAME.get(scheme.lower(), scheme.lower()), path)
        return cls(kind, place, os.fsencode(below))

    @property
    def root(self) -> bytes:
        """What a collection keeps of it; of an archive without the path inside."""
        return os.fsencode(f"{self.archive}://::{self.place}" if self.archive else self.place)

    @property
    def path(self) -> bytes:
        """The whole of it, as a collection shows it."""
        return self.root + b"/" + self.below if self.below else self.root

    @property
    def scheme(self) -> str:
        """What fsspec opens it with."""
        return self.place.partition("://")[0]


def canonical(path: bytes | str) -> bytes:
    """Return a URL as a collection keeps it."""
    return Url.parse(path).path


def absolute(path: os.PathLike[str] | str | bytes, *, followed: bool = True) -> bytes:
    """Return the absolute path of a file or folder, or a URL as a collection keeps it.

    Args:
        path: Either.
        followed: Whether links are followed.
    """
    raw = os.fsencode(path)
    if is_url(raw):
        return canonical(raw)
    return os.path.realpath(raw) if followed else os.path.abspath(raw)


def _cut_behind_archive(path: str, *, on_drive: bool) -> tuple[str, str]:
    """Return the path of an archive, and what is named inside it, by the archive's own name."""
    parts = path.rstrip("/").split("/")
    for number, part in enumerate(parts[:-1], 1):
        archive, inner = "/".join(parts[:number]), "/".join(parts[number:])
        if ARCHIVE_NAME.search(part) and not (on_drive and os.path.isdir(archive)):
            return archive, inner
    return "/".join(parts), ""


def _absolute(path: str) -> str:
    real = os.path.realpath(os.path.expanduser(path))
    return real if os.sep == "/" else "/" + real.replace(os.sep, "/")


def _checked(scheme: str, rest: str) -> str:
    """Return a URL that can be kept.

    Raises:
        RootUnavailable: It cannot.
    """
    if scheme == LOCAL:
        raise RootUnavailable(f"{LOCAL}:// is not read: give the path itself")
    if scheme not in PACKAGES:
        known = ", ".join(f"{one}://" for one in (*PACKAGES, *ARCHIVES) if one != "memory")
        raise RootUnavailable(
            f"{display(os.fsencode(scheme))}:// is not read: give a path, or one of {known}"
        )
    rest = rest.rstrip("/")
    host = rest.partition("/")[0]
    if not host:
        raise RootUnavailable(f"{scheme}:// names no bucket or host")
    user, at, _ = host.rpartition("@")
    if at and (":" in user or scheme in ("http", "https")):
        raise RootUnavailable(
            f"a {scheme}:// URL with a password is not read, since the collection would keep it: "
            "leave it out, and give credentials where the service's own tools look for them"
        )
    if scheme in ("http", "https") and ("?" in rest or "#" in rest):
        raise RootUnavailable(
            f"a {scheme}:// URL with a query is not read, since that may hold a secret, and the "
            "collection would keep it: give one without"
        )
    if "\0" in rest or any(part in ("", ".", "..") for part in rest.split("/")):
        raise RootUnavailable(
            f"{scheme}://{rest} has an empty part, or one of dots: give it without"
        )
    return f"{scheme}://{rest}"
