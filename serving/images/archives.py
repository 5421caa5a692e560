"""Images as one zip, written while it is sent: memory holds one image at a time."""

import asyncio
import time
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from functools import partial

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from indexer.errors import ClipdexError, ImageNotFound
from indexer.store.rows import StoredFile
from search import Engine
from serving.services.errors import Busy, NotFound
from serving.services.search import SearchService

from .responses import ImageResponses, KnownImage
from .safe_names import Names, safe_name

# Downloads at once, of one process: each holds an image, which a slow client takes its time for.
MAX_DOWNLOADS = 4
CHUNK = 256 * 1024
# Before an image is asked for again when others have more to do than the server can.
BUSY_SECONDS = 0.2
MISSING = "missing.txt"
# The time of an entry that says nothing: the first that zip can hold.
NO_TIME = (1980, 1, 1, 0, 0, 0)
LATEST_YEAR = 2107


class Archives:
    """Zips of the images of one server's collection.

    Args:
        search: Gives access to the collection, and runs what reads images.
        images: Gives the files.
    """

    def __init__(self, search: SearchService, images: ImageResponses) -> None:
        self._search = search
        self._images = images
        self._running = 0

    async def zip(self, numbers: Sequence[int]) -> StreamingResponse:
        """Return images as one zip; what cannot be had is left out and listed in it.

        Args:
            numbers: The images' ids.

        Raises:
            ImageNotFound: No image has any of the ids.
            Busy: Too many are downloading.
        """
        if self._running >= MAX_DOWNLOADS:
            raise Busy
        wanted = list(dict.fromkeys(numbers))

        def known(engine: Engine) -> bool:
            with engine.question():
                return bool(engine.catalog.contents(wanted))

        if not await self._search.engines.run(known):
            raise ImageNotFound("no image has any of these ids")
        return _Download(self, self._stream(wanted))

    async def _stream(self, numbers: Sequence[int]) -> AsyncIterator[bytes]:
        sink, names, missing = _Sink(), Names(MISSING), list[str]()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            for number in numbers:
                reason = await self._add(archive, names, number)
                if reason is not None:
                    missing.append(f"{number}: {reason}\n")
                for chunk in sink.taken():
                    yield chunk
            if missing:
                archive.writestr(_entry(MISSING), "".join(missing))
        for chunk in sink.taken():
            yield chunk

    async def _add(self, archive: zipfile.ZipFile, names: Names, number: int) -> str | None:
        """Write an image into an archive, or return the reason why it cannot be had."""
        while True:
            name = ""
            try:
                known = await self._images.known(number)
                name = f"{safe_name(known.files[0].path)}: " if known.files else ""
                write = partial(self._write, archive, names, known)
                await self._search.run_with_images(write)
            except Busy:  # half of the answer is sent: it cannot become another one
                await asyncio.sleep(BUSY_SECONDS)
            except (ImageNotFound, NotFound) as exc:
                return f"{name}{exc}"
            except ClipdexError:
                return f"{name}it cannot be read any more"
            else:
                return None

    def _write(self, archive: zipfile.ZipFile, names: Names, known: KnownImage) -> None:
        file, data, media = self._images.content(known)
        previewed = media == "image/webp" and known.format != "WEBP"
        name = names.take(safe_name(file.path, ".webp" if previewed else None))
        archive.writestr(_entry(name, file if self._images.settings.originals else None), data)

    def begin(self) -> None:
        """Count a download that begins."""
        self._running += 1

    def end(self) -> None:
        """Count a download that has ended, however it did."""
        self._running -= 1


class _Download(StreamingResponse):
    """An archive on its way to a client."""

    def __init__(self, archives: Archives, stream: AsyncIterator[bytes]) -> None:
        self._archives = archives
        headers = {"Content-Disposition": 'attachment; filename="images.zip"'}
        super().__init__(stream, media_type="application/zip", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        self._archives.begin()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._archives.end()


class _Sink:
    """What an archive is written to: a stream without places to go back to."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take a part."""
        self._parts.append(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the parts are taken when somebody wants them."""

    def close(self) -> None:
        """Do nothing, as above."""

    def taken(self) -> Iterator[bytes]:
        """Yield what was written, in chunks that a connection can buffer, and let go of it."""
        parts, self._parts = self._parts[::-1], []
        small = bytearray()
        while parts:
            part = parts.pop()
            if len(small) + len(part) <= CHUNK:
                small += part
                continue
            if small:
                yield bytes(small)
                small.clear()
            for start in range(0, len(part), CHUNK):
                yield bytes(part[start : start + CHUNK])
        if small:
            yield bytes(small)


def _entry(name: str, file: StoredFile | None = None) -> zipfile.ZipInfo:
    """Return the entry of a file: with the time of its last change, if that may be known."""
    moment = NO_TIME
    if file is not None:
        with suppress(ValueError, OverflowError, OSError):
            changed = time.localtime(file.mtime_ns / 1e9)
            if NO_TIME[0] <= changed.tm_year <= LATEST_YEAR:
                moment = changed[:6]
    entry = zipfile.ZipInfo(name, moment)
    entry.create_system = 3  # Unix, whose permissions follow
    entry.external_attr = 0o100644 << 16
    return entry
