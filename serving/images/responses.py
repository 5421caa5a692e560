"""An image of the collection as a response: thumbnail, preview or file."""

import os
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Response

from indexer.store.records import StoredFile
from search import Engine
from serving.errors import Problem
from serving.services.search import Answering
from serving.settings import Settings

from .safe_open import read_first
from .strip_metadata import Unstrippable, strip
from .thumbnails import PREVIEW_SIDE, Thumbnails, webp

# What browsers show as it is.
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
# A content's image never changes: an id stands for its bytes.
FOREVER = "private, max-age=31536000, immutable"
# A file that is opened by itself runs nothing.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class _Known:
    digest: bytes
    format: str
    files: list[StoredFile]
    roots: list[bytes]


class Images:
    """Images of one server's collection."""

    def __init__(self, answering: Answering, settings: Settings) -> None:
        self.answering = answering
        self.settings = settings
        self.thumbnails = Thumbnails(answering.engines.collection)

    async def thumbnail(self, number: int, size: int, etag: str | None) -> Response:
        """A WebP whose longer side is at most `size`."""
        known = await self._known(number)
        own = f'"{known.digest.hex()[:32]}-{size}"'
        if _matches(etag, own):
            return _not_modified(own)

        def make() -> bytes:
            data = self.thumbnails.read(number, size)
            if data is None:
                file, original = read_first(known.files, known.roots)
                with self.answering.metrics.seconds.labels("thumbnail").time():
                    data = webp(original, size, self.settings.limits, name=file.path)
                self.thumbnails.write(number, size, data)
            return data

        data = await self.answering.with_images(make)
        return Response(data, media_type="image/webp", headers=_headers(own))

    async def file(self, number: int, etag: str | None) -> Response:
        """The file without its metadata, or a WebP where that cannot be taken out or shown."""
        known = await self._known(number)
        own = f'"{known.digest.hex()[:32]}-file{"-original" * self.settings.originals}"'
        if _matches(etag, own):
            return _not_modified(own)

        def make() -> tuple[StoredFile, bytes, str]:
            file, data = read_first(known.files, known.roots)
            if self.settings.originals:
                media = MEDIA_TYPES.get(known.format, "application/octet-stream")
                return file, data, media
            try:
                stripped = strip(data, known.format)
            except Unstrippable:
                stripped = None
            if stripped is not None:
                return file, *stripped
            preview = webp(data, PREVIEW_SIDE, self.settings.limits, name=file.path)
            return file, preview, "image/webp"

        file, data, media = await self.answering.with_images(make)
        name = quote(os.path.basename(file.path).decode("utf-8", "replace"), safe="")
        headers = _headers(own) | {
            "Content-Disposition": f"inline; filename*=UTF-8''{name}",
            "Content-Security-Policy": SANDBOX,
        }
        return Response(data, media_type=media, headers=headers)

    async def _known(self, number: int) -> _Known:
        def look(engine: Engine) -> _Known | None:
            with engine.question():
                kind = engine.catalog.digest_and_format(number)
                if kind is None:
                    return None
                roots = list(engine.catalog.roots().values())
                return _Known(*kind, engine.catalog.files_of(number), roots)

        known = await self.answering.engines.ask(look)
        if known is None:
            raise Problem(404, f"no image has the id {number}")
        return known


def _headers(etag: str) -> dict[str, str]:
    return {"ETag": etag, "Cache-Control": FOREVER}


def _not_modified(etag: str) -> Response:
    return Response(status_code=304, headers=_headers(etag))


def _matches(asked: str | None, own: str) -> bool:
    return asked is not None and own in [part.strip() for part in asked.split(",")]
