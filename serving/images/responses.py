"""An image of the collection as a response: thumbnail, preview or file."""

import os
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Response

from indexer.errors import ImageNotFound
from indexer.images.thumbnails import PREVIEW_SIDE, webp
from indexer.store.rows import StoredFile
from indexer.store.thumbnail_files import read_thumbnail, write_thumbnail
from search import Engine
from serving.schemas.responses import version_of
from serving.services.errors import NotFound
from serving.services.search import SearchService
from serving.settings import Settings

from .facts import FORMATS, FileFacts, facts_of
from .safe_open import read_first
from .strip_metadata import Unstrippable, strip_metadata

# Formats that browsers show as they are.
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
# What a URL names by its content's hash never changes. A number alone means another image when the
# collection was removed and another one made in its place, so that the client has to ask.
FOREVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"
# A file that is opened on its own must not run anything.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class KnownImage:
    """What the collection knows of an image: its files, and the folders that they may lie in."""

    digest: bytes
    format: str
    files: list[StoredFile]
    roots: list[bytes]


class ImageResponses:
    """Thumbnails and files of the images of one server's collection.

    Args:
        search: Gives access to the collection, and runs what decodes images.
        settings: The server's settings.
    """

    def __init__(self, search: SearchService, settings: Settings) -> None:
        self.search = search
        self.settings = settings
        self.collection = search.engines.collection

    def _read(self, known: KnownImage) -> tuple[StoredFile, bytes]:
        remote = self.settings.allow_remote
        return read_first(known.files, known.roots, known.digest, remote)

    async def thumbnail(
        self, number: int, size: int, etag: str | None, version: str | None = None
    ) -> Response:
        """Return a WebP of an image.

        Args:
            number: The image's id.
            size: Maximum of the longer side, in pixels.
            etag: The client's If-None-Match header.
            version: The content that the client means, as `version_of` names it.

        Raises:
            ImageNotFound: No image has this id.
            NotFound: None of its files is still what was indexed.
            ImageError: It cannot be decoded any more.
        """
        known = await self.known(number)
        own = f'"{known.digest.hex()[:32]}-{size}"'
        headers = _headers(own, known, version)
        if _matches(etag, own):
            return Response(status_code=304, headers=headers)

        def make() -> bytes:
            data = read_thumbnail(self.collection, known.digest, size)
            if data is None:
                file, original = self._read(known)
                with self.search.metrics.seconds.labels("thumbnail").time():
                    data = webp(original, size, self.settings.limits, name=file.path)
                write_thumbnail(self.collection, known.digest, size, data)
            return data

        data = await self.search.run_with_images(make)
        return Response(data, media_type="image/webp", headers=headers)

    async def file(self, number: int, etag: str | None, version: str | None = None) -> Response:
        """Return an image's file without its metadata.

        Where the metadata cannot be removed, or browsers cannot show the format, a WebP stands for
        the file.

        Args:
            number: The image's id.
            etag: The client's If-None-Match header.
            version: The content that the client means, as `version_of` names it.

        Raises:
            ImageNotFound: No image has this id.
            NotFound: None of its files is still what was indexed.
        """
        known = await self.known(number)
        own = f'"{known.digest.hex()[:32]}-file{"-original" * self.settings.originals}"'
        cached = _headers(own, known, version)
        if _matches(etag, own):
            return Response(status_code=304, headers=cached)

        file, data, media = await self.search.run_with_images(lambda: self.content(known))
        name = quote(os.path.basename(file.path).decode("utf-8", "replace"), safe="")
        headers = cached | {
            "Content-Disposition": f"inline; filename*=UTF-8''{name}",
            "Content-Security-Policy": SANDBOX,
        }
        return Response(data, media_type=media, headers=headers)

    def content(self, known: KnownImage) -> tuple[StoredFile, bytes, str]:
        """Return one of an image's files, what clients get of it, and its media type.

        Raises:
            NotFound: None of its files is still what was indexed.
            ImageError: It cannot be decoded any more.
        """
        file, data = self._read(known)
        if self.settings.originals:
            return file, data, MEDIA_TYPES.get(known.format, "application/octet-stream")
        try:
            stripped = strip_metadata(data, known.format)
        except Unstrippable:
            stripped = None
        if stripped is not None:
            return file, *stripped
        preview = webp(data, PREVIEW_SIDE, self.settings.limits, name=file.path)
        return file, preview, "image/webp"

    async def facts(self, number: int) -> FileFacts:
        """Return what an image's file says of itself; nothing where it is not on this machine.

        Raises:
            ImageNotFound: No image has this id.
            Busy: Too many requests wait.
        """
        known = await self.known(number)
        if known.format not in FORMATS:
            return FileFacts()

        def read() -> FileFacts:
            try:
                file, data = read_first(known.files, known.roots)
            except NotFound:
                return FileFacts()
            return facts_of(data, file.path)

        return await self.search.run_with_images(read)

    async def known(self, number: int) -> KnownImage:
        """Look up an image by its id.

        Raises:
            ImageNotFound: No image has this id.
            Busy: Too many requests wait.
        """

        def look(engine: Engine) -> KnownImage | None:
            with engine.question():
                kind = engine.catalog.digest_and_format(number)
                if kind is None:
                    return None
                roots = list(engine.catalog.roots().values())
                return KnownImage(*kind, engine.catalog.files_of(number), roots)

        known = await self.search.engines.run(look)
        if known is None:
            raise ImageNotFound(f"no image has the id {number}")
        return known


def _headers(etag: str, known: KnownImage, version: str | None) -> dict[str, str]:
    lasting = version is not None and version == version_of(known.digest)
    return {"ETag": etag, "Cache-Control": FOREVER if lasting else ASK_AGAIN}


def _matches(asked: str | None, own: str) -> bool:
    return asked is not None and own in [part.strip() for part in asked.split(",")]
