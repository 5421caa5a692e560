"""Files that crash decoders, and processes that a test has started."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

CONTENT_TYPE = b"application/rdf+xml"


def heic_with_text(image: Image.Image) -> bytes:
    """A HEIC that holds XMP, in an item whose content type is written out."""
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    file = pillow_heif.from_pillow(image)
    file[0].info["xmp"] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>"
    file.save(buffer, quality=90)
    return buffer.getvalue()


def crashing_heic(image: Image.Image) -> bytes:
    """One whose content type is not UTF-8, which ends a process that opens it with pi-heif 1."""
    data = heic_with_text(image)
    at = data.index(CONTENT_TYPE)
    return data[:at] + b"\x80" + data[at + 1 :]


def children_of(pid: int) -> set[int]:
    """The processes below one, and those below them; Linux only."""
    found: set[int] = set()
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            found |= {child} | children_of(child)
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only waited for by its parent; Linux only."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
