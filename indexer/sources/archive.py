"""The inside of a ZIP or a tar, wherever the archive lies, without unpacking it.

What is where is read once; then an image is one range of the archive's bytes, so that many are read
at once, as those of an object store are. A tar has no table of contents: all of it is gone through.
"""

import errno
import os
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct
from typing import Any

from indexer.store.records import SEPARATOR

from .object_store import ObjectStore
from .source import Entry, State, state_of
from .trouble import ATTEMPTS, translated

# Of a ZIP's local header: the signature, and the lengths of the name and of what follows it.
LOCAL_HEADER = Struct("<4s22xHH")
SIGNATURE = b"PK\x03\x04"
# A local header may have longer extra fields than the table of contents says.
MARGIN = 1024
ENCRYPTED = 0x1
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


@dataclass(frozen=True)
class _Member:
    """A file in an archive: where its bytes, or those of its header, are.

    Attributes:
        start: Where they begin.
        end: Where they end; of a ZIP about there.
        method: How they are compressed, as in a ZIP.
        crc: Their checksum; None in a tar.
    """

    state: State
    start: int
    end: int
    method: int = STORED
    crc: int | None = None
    reason: str | None = None


class Archive:
    """The files in a ZIP or a tar, as a source.

    Args:
        kind: "zip" or "tar".
        store: The archive itself, as a root.

    Raises:
        OSError: It cannot be read, or is not an archive of this kind.
    """

    def __init__(self, kind: str, store: ObjectStore) -> None:
        self._store = store
        self._kind = kind
        found = store.entry(b"")
        if found.state is None:
            raise IsADirectoryError(errno.EISDIR, f"it is a folder, and no .{kind} file")
        self.state = found.state
        self._members: dict[bytes, _Member] = {}
        with store.open() as file:
            try:
                names = self._of_zip(file) if kind == "zip" else self._of_tar(file)
            except (zipfile.BadZipFile, tarfile.TarError, NotImplementedError) as exc:
                raise OSError(errno.EIO, f"it is not a .{kind} that can be read: {exc}") from exc
            except Exception as exc:
                raise translated(exc) from exc
        for name, member in names:
            path = _path(name)
            if path is not None:
                self._members[path] = member
        self._folders: dict[bytes, dict[bytes, _Member | None]] = {b"": {}}
        for path, member in self._members.items():
            self._enter(path, member)

    def _enter(self, path: bytes, member: _Member | None) -> None:
        """Enter a file or folder into its folder, and that into the one above."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = {}
            self._enter(folder, None)
        self._folders[folder][name] = member

    def _of_zip(self, file: Any) -> list[tuple[str, _Member]]:
        found = []
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                reason = None
                if info.flag_bits & ENCRYPTED:
                    reason = "encrypted"
                elif info.compress_type not in (STORED, DEFLATED):
                    reason = f"compressed by method {info.compress_type}, which is not read"
                head = LOCAL_HEADER.size + len(info.filename.encode()) + len(info.extra) + MARGIN
                found.append(
                    (
                        info.filename,
                        _Member(
                            state_of(info.file_size, _zip_time(info), b"%08x" % info.CRC),
                            info.header_offset,
                            info.header_offset + head + info.compress_size,
                            info.compress_type,
                            info.CRC,
                            reason,
                        ),
                    )
                )
        return found

    def _of_tar(self, file: Any) -> list[tuple[str, _Member]]:
        # Two versions of a tar may have files of one name, size and time that differ.
        tag = b"%d %d" % self.state
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as archive:
            return [
                (
                    info.name,
                    _Member(
                        state_of(info.size, info.mtime, tag),
                        info.offset_data,
                        info.offset_data + info.size,
                    ),
                )
                for info in archive
                if info.isreg() and not info.issparse()
            ]

    def __len__(self) -> int:
        """Return how many files it holds."""
        return len(self._members)

    @property
    def is_current(self) -> bool:
        """Whether the archive is as it was when it was opened."""
        return self._store.entry(b"").state == self.state

    def entry(self, below: bytes) -> Entry:
        """Return what is at a path."""
        name = os.path.basename(below)
        if below in self._folders:
            return Entry(name)
        member = self._member(below)
        return Entry(name, member.state, member.reason)

    def entries(self, below: bytes) -> list[Entry]:
        """Return what is in a folder."""
        if below not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "there is no such file or folder")
        return [
            Entry(name) if member is None else Entry(name, member.state, member.reason)
            for name, member in self._folders[below].items()
        ]

    def read(self, below: bytes, length: int, *, attempts: int = ATTEMPTS) -> bytes:
        """Return the first bytes of a file, at most `length` of them."""
        member = self._member(below)
        if member.reason is not None:
            raise OSError(errno.EIO, member.reason)
        if member.crc is None:
            end = min(member.end, member.start + length)
            return self._store.read_range(b"", member.start, end, attempts=attempts)
        end = min(member.end, self.state.size)
        data = self._store.read_range(b"", member.start, end, attempts=attempts)
        return _unpacked(member, data, length)

    def _member(self, below: bytes) -> _Member:
        if below not in self._members:
            raise FileNotFoundError(errno.ENOENT, "there is no such file or folder")
        return self._members[below]


def _unpacked(member: _Member, data: bytes, length: int) -> bytes:
    """Return the first bytes of a ZIP's file, of which `data` begins with the local header."""
    if len(data) < LOCAL_HEADER.size or data[:4] != SIGNATURE:
        raise OSError(errno.EIO, "the archive has changed, or is damaged")
    _, name, extra = LOCAL_HEADER.unpack_from(data)
    body = memoryview(data)[LOCAL_HEADER.size + name + extra :]
    try:
        found = (
            bytes(body[: min(length, member.state.size)])
            if member.method == STORED
            else zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, max(length, 1))
        )
    except zlib.error as exc:
        raise OSError(errno.EIO, f"damaged in the archive ({exc})") from exc
    if len(found) == member.state.size and zlib.crc32(found) != member.crc:
        raise OSError(errno.EIO, "damaged in the archive (its checksum differs)")
    return found


def _path(name: str) -> bytes | None:
    """Return where a file of an archive lies in it; None for a name that leads out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or not parts or ".." in parts or "\0" in name:
        return None
    return SEPARATOR.join(os.fsencode(part) for part in parts)


def _zip_time(info: zipfile.ZipInfo) -> float | None:
    """Return a time of a ZIP, which has no zone, as if it were UTC."""
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return None
