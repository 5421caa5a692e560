"""Recognizes image files, and the reader each needs, by first bytes and, for RAW files, by name.

Most cameras' RAW files are TIFFs whose first image is a stamp-sized preview. As TIFFs they would be
read as that preview, so the extension decides or, under another name, the tags of that image.
"""

import os
import re
import struct
from typing import Literal

from .isobmff import brands

# Counted up when more files can be read than before, so that those that failed are tried again.
READER_VERSION = 1

Reader = Literal["pillow", "heif", "raw"]

# The only plugins that Pillow may try: others are risky, as EPS, which starts Ghostscript.
# JPEG opens MPO too, and PPM the whole PNM family.
PILLOW = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "AVIF")

# Those whose decoders have been fuzzed for years (OSS-Fuzz), so that they may run in any process.
FUZZED = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
JPEG = b"\xff\xd8\xff"

COMMON = frozenset(
    b".jpg .jpeg .jpe .jfif .jfi .jif .pjpeg .pjp .jps .mpo .jpg_large .jpeg_large .jpg_orig "
    b".png .apng .webp .gif .bmp .dib .tif .tiff .btf .tf8 "
    b".jp2 .j2k .j2c .jpc .jpf .jpx .ppm .pgm .pbm .pnm .pfm .avif .avifs "
    b".heic .heif .heics .heifs .hif".split()
)
RAW = frozenset(
    b".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .kdc .mef .mos .mrw .nef .nrw .orf "
    b".pef .raf .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
EXTENSIONS = COMMON | RAW

# Each byte order, and BigTIFF, whose offsets have 64 bits.
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAGIC = (
    JPEG,
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    *TIFF,
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000 in its container
    b"\xff\x4f\xff\x51",  # and bare
)
# RAW files that are identified by their first bytes: Olympus, Panasonic, Fujifilm, Minolta, Sigma.
RAW_MAGIC = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb")
HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
AVIF_BRANDS = frozenset({b"avif", b"avis"})
CANON_RAW = b"crx "  # CR3
CRW = b"HEAPCCDR"  # and those before CR2
BMP = b"BM"
# What a bitmap's second header may begin with: its own length.
BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# The PNM family is recognized by a letter and a digit, so the size has to follow, or a comment.
PNM = re.compile(rb"P(?:[1-6]|[Ff])\s+(?:#|\d+\s+(?:#|\d))")
# TIFF's tags of what an image is for, who made the camera, which images lie below, and of a DNG.
SUBFILE_TYPE, MAKE, SUB_IFDS, DNG_VERSION = 0x00FE, 0x010F, 0x014A, 0xC612
REDUCED = 1
# How many bytes of a file `looks_like_image` and `reader_of` need.
HEAD = 64


def looks_like_image(head: bytes) -> bool:
    """Return whether a file that begins with `head` is an image, whatever its name."""
    if head.startswith((*MAGIC, *RAW_MAGIC)) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    if head.startswith(BMP):
        return int.from_bytes(head[14:18], "little") in BMP_HEADERS
    if head.startswith(b"P"):
        return PNM.match(head) is not None
    if head[4:8] != b"ftyp":
        return head[6:14] == CRW
    return not brands(head).isdisjoint(HEIF_BRANDS | AVIF_BRANDS | {CANON_RAW})


def is_fuzzed(data: bytes) -> bool:
    """Return whether Pillow opens a file with one of the `FUZZED` decoders, or with none."""
    return data.startswith((JPEG, b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", BMP)) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )


def is_decoded_here(data: bytes, name: bytes) -> bool:
    """Return whether a file may be decoded in the process that asks for it."""
    return is_fuzzed(data) and reader_of(data, name) == "pillow"


def plugins_for(data: bytes) -> tuple[str, ...]:
    """Return which of Pillow's plugins may open a file."""
    return FUZZED if is_fuzzed(data) else PILLOW


def kind_of(data: bytes, name: bytes) -> str:
    """Return what people call the format of a file that is not decoded in its reader's process."""
    kinds = brands(data[:HEAD])
    if reader_of(data, name) == "raw":
        return "RAW"
    if kinds & AVIF_BRANDS:
        return "AVIF"
    if kinds & HEIF_BRANDS:
        return "HEIC"
    if data.startswith(TIFF):
        return "TIFF"
    if data.startswith(MAGIC[-2:]):
        return "JPEG 2000"
    return "PNM" if data.startswith(b"P") else "image"


def is_image_name(name: bytes) -> bool:
    """Return whether a file of this name counts as an image."""
    return extension_of(name) in EXTENSIONS


def extension_of(name: bytes) -> bytes:
    """Return a name's extension in lower case, such as `.jpg`; empty if it has none."""
    return os.path.splitext(name)[1].lower()


def reader_of(data: bytes, name: bytes) -> Reader:
    """Return which reader opens a file.

    Args:
        data: The file's bytes.
        name: The file's name, for its extension; may be empty.
    """
    kinds = brands(data[:HEAD])
    if CANON_RAW in kinds or data.startswith(RAW_MAGIC) or _is_canon_tiff(data):
        return "raw"
    if data.startswith(TIFF) and is_raw_tiff(data):
        return "raw"
    # A RAW's extension counts unless the file is plainly something else.
    if extension_of(name) in RAW and not (kinds or (_known(data) and not data.startswith(TIFF))):
        return "raw"
    if kinds & HEIF_BRANDS and not kinds & AVIF_BRANDS:
        return "heif"
    return "pillow"


def _known(data: bytes) -> bool:
    return looks_like_image(data[:HEAD])


def _is_canon_tiff(data: bytes) -> bool:
    """Return whether this is a CR2 (a TIFF with a mark of its own) or a CRW."""
    return (data.startswith(TIFF) and data[8:10] == b"CR") or data[6:14] == CRW


def is_raw_tiff(data: bytes) -> bool:
    """Return whether a TIFF is a RAW file by its tags: its first image is a camera's preview."""
    tags = _first_tags(data)
    if DNG_VERSION in tags:
        return True
    return MAKE in tags and SUB_IFDS in tags and tags.get(SUBFILE_TYPE) == REDUCED


def _first_tags(data: bytes) -> dict[int, int]:
    """Return the tags of a TIFF's first image, and the value of those that are one number."""
    if not data.startswith(TIFF[:2]):
        return {}
    order = "<" if data.startswith(b"II") else ">"
    try:
        at: int = struct.unpack_from(order + "I", data, 4)[0]
        count: int = struct.unpack_from(order + "H", data, at)[0]
        entries = struct.iter_unpack(order + "HHII", data[at + 2 : at + 2 + 12 * count])
        return {tag: value for tag, _, _, value in entries}
    except struct.error:  # a damaged file
        return {}
