"""Mutate images of every format, and decode each as an index run would.

A mutation flips bytes, cuts, swaps blocks, or writes extreme lengths; HEIC and AVIF also get other
content types and box types. Each file may be decoded, refused with an ImageError, or end the
process that decodes it. Anything else, or a process that is left over, is a fault: exit status 1.

usage: python -m scripts.torture.images [--per-format 1000] [--seed 18] [--keep FOLDER]
"""

import argparse
import random
import re
import struct
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from indexer.devices.cpu_count import available_cores
from indexer.errors import ImageError
from indexer.images.decode import Limits, prepare
from indexer.images.isolated.pool import POOL
from indexer.images.preprocess import Preprocess

from .report import say

SIZES = ((64, 48), (131, 97))
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>"
# Small, so that a mutated header cannot make a run last for hours.
LIMITS = Limits(max_pixels=20_000_000)
MODEL = Preprocess((64, 64))
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
# What an ISOBMFF file consists of, and the content types in it.
BOXES = re.compile(
    rb"ftyp|meta|hdlr|pitm|iinf|infe|iloc|iprp|ipco|ipma|ispe|hvcC|av1C|colr|pixi|iref|idat|mdat|"
    rb"irot|imir|auxC|Exif|mime|nclx|prof|jp2h|ihdr|jp2c"
)
TEXTS = re.compile(rb"application/rdf\+xml|mime|Exif|pict|urn:[\x20-\x7e]+")
CRASHED, DECODED, REFUSED, FAULT = "child died", "decoded", "refused", "FAULT"
DIED = re.compile(r"decoder (?:crashed|was killed|ended|took too long|gave no sensible)")

Mutation = Callable[[bytearray, random.Random], bytearray]


def pictures() -> list[Image.Image]:
    values = np.random.default_rng(18)
    return [
        Image.fromarray(values.integers(0, 256, (5, 7, 3), np.uint8)).resize(size) for size in SIZES
    ]


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def bases() -> dict[str, list[bytes]]:
    """Return images of every format, in several of its kinds each."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2024:07:14 12:30:05"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found: dict[str, list[bytes]] = {}
    for image in pictures():
        clear = image.convert("RGBA")
        clear.putalpha(image.convert("L"))
        said = {"exif": exif.tobytes(), "icc_profile": profile}
        deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        kinds = {
            "JPEG": [
                saved(image, "JPEG", **said),
                saved(image, "JPEG", progressive=True),
                saved(image.convert("CMYK"), "JPEG"),
            ],
            "PNG": [
                saved(clear, "PNG", **said),
                saved(image.quantize(16), "PNG"),
                saved(deep, "PNG"),
                saved(image, "PNG", save_all=True, append_images=[image.rotate(90)]),
            ],
            "WebP": [
                saved(clear, "WEBP", **said),
                saved(image, "WEBP", lossless=True),
                saved(image, "WEBP", save_all=True, append_images=[image.rotate(90)]),
            ],
            "GIF": [
                saved(image, "GIF"),
                saved(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
            ],
            "BMP": [saved(image, "BMP"), saved(image.quantize(16), "BMP"), saved(clear, "BMP")],
            "TIFF": [
                *(
                    saved(image, "TIFF", compression=kind, **said)
                    for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
                ),
                saved(image.convert("1"), "TIFF", compression="group4"),
                saved(deep, "TIFF"),
                saved(Image.fromarray(np.asarray(deep, np.float32)), "TIFF"),
                saved(clear, "TIFF"),
            ],
            "JPEG 2000": [
                saved(image, "JPEG2000"),
                saved(clear, "JPEG2000"),
                saved(image, "JPEG2000", no_jp2=True),
                saved(image, "JPEG2000", tile_size=(32, 32)),
            ],
            "PNM": [
                saved(image, "PPM"),
                saved(image.convert("1"), "PPM"),
                b"P3 4 3 255 " + b"17 " * 36,
            ],
            "AVIF": [
                saved(clear, "AVIF", xmp=XMP, speed=9, **said),
                saved(image, "AVIF", speed=9),
            ],
        }
        for kind, files in (kinds | heics(image) | raws(image)).items():
            found.setdefault(kind, []).extend(files)
    return found


def heics(image: Image.Image) -> dict[str, list[bytes]]:
    """Return HEICs, where pillow-heif is there to write them."""
    try:
        import pillow_heif
    except ImportError:
        return {}
    files = []
    for mode in ("RGB", "RGBA", "L"):
        heif = pillow_heif.from_pillow(image.convert(mode))
        heif[0].info["xmp"] = XMP
        heif[0].info["exif"] = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
        buffer = BytesIO()
        heif.save(buffer, quality=60)
        files.append(buffer.getvalue())
    return {"HEIC": files}


def raws(image: Image.Image) -> dict[str, list[bytes]]:
    """Return RAW files, where the tests' writer and LibRaw are there."""
    try:
        import rawpy  # noqa: F401

        sys.path.insert(0, "tests")
        from support.dng import make_dng  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return {}
    preview = saved(image, "JPEG")
    return {
        "RAW": [
            make_dng(image, preview=preview, preview_size=image.size, taken="2024:07:14 12:30:05"),
            make_dng(image, preview=None),
        ]
    }


def flip(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def replace(data: bytearray, chance: random.Random) -> bytearray:
    """Change bytes, most often in the header."""
    for _ in range(chance.choice((1, 2, 4, 16))):
        data[chance.randrange(chance.choice((64, 512, len(data)))) % len(data)] = chance.randrange(
            256
        )
    return data


def cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(1, len(data))]


def swap(data: bytearray, chance: random.Random) -> bytearray:
    """Exchange two blocks, or write one over another, or take one out."""
    size = chance.randrange(1, max(2, len(data) // 4))
    left, right = (chance.randrange(max(1, len(data) - size)) for _ in range(2))
    one, other = data[left : left + size], data[right : right + size]
    match chance.randrange(3):
        case 0:
            data[left : left + size], data[right : right + size] = other, one
        case 1:
            data[right : right + size] = one
        case _:
            del data[left : left + size]
    return data


def length(data: bytearray, chance: random.Random) -> bytearray:
    """Write an extreme number, in 1, 2 or 4 bytes of either order."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind = chance.choice(("B", ">H", "<H", ">I", "<I"))
        size = struct.calcsize(kind)
        if len(data) < size:
            return data
        at = chance.randrange(min(len(data) - size + 1, chance.choice((64, 512, len(data)))))
        value = chance.choice(EXTREMES) & (256**size - 1)
        struct.pack_into(kind, data, at, value)
    return data


def box(data: bytearray, chance: random.Random) -> bytearray:
    """Change the length, the type or the content type of one box."""
    found = list(BOXES.finditer(data))
    texts = list(TEXTS.finditer(data))
    if texts and chance.random() < 0.4:
        text = chance.choice(texts)
        data[chance.randrange(*text.span())] = chance.choice((0, 0x80, 0xC0, 0xFF, 0x0A, 0x2F))
    elif found:
        at = chance.choice(found).start()
        if chance.random() < 0.5 and at >= 4:
            struct.pack_into(">I", data, at - 4, chance.choice(EXTREMES))
        elif chance.random() < 0.5:
            data[at : at + 4] = chance.choice(found).group()
        else:
            end = min(len(data), at + 40)
            data[chance.randrange(at, end)] = chance.randrange(256)
    return data


MUTATIONS: tuple[Mutation, ...] = (flip, replace, cut, swap, length)
CONTAINERS = frozenset({"HEIC", "AVIF", "JPEG 2000"})


def mutants(kind: str, files: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield mutated files, the same for the same seed."""
    chance = random.Random(f"{seed} {kind}")
    choices = (*MUTATIONS, box, box) if kind in CONTAINERS else MUTATIONS
    for _ in range(count):
        data = bytearray(chance.choice(files))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            data = chance.choice(choices)(data, chance) or data
        yield bytes(data)


def outcome(kind: str, data: bytes) -> tuple[str, str]:
    """Decode one file; return what came of it, and the reason."""
    try:
        prepare(data, LIMITS, MODEL, name=b"x.dng" if kind == "RAW" else b"")
    except ImageError as exc:
        return (CRASHED if DIED.search(str(exc)) else REFUSED), str(exc)
    except BaseException:
        return FAULT, traceback.format_exc()
    return DECODED, ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutate images of every format and decode them.")
    parser.add_argument("--per-format", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--keep", type=Path, help="where files that end a process are written")
    asked = parser.parse_args()
    faults = 0
    totals: Counter[str] = Counter()
    # An error in a thread that nobody waits for would be lost.
    threading.excepthook = lambda told: sys.exit(f"in a thread: {told.exc_value}")
    with ThreadPoolExecutor(available_cores()) as pool:
        for kind, files in bases().items():
            counts: Counter[str] = Counter()
            endings: Counter[str] = Counter()
            made = list(mutants(kind, files, asked.per_format, asked.seed))
            found = pool.map(outcome, [kind] * len(made), made)
            for data, (came, reason) in zip(made, found, strict=True):
                counts[came] += 1
                if came == CRASHED:
                    endings[reason] += 1
                if came == FAULT:
                    faults += 1
                    sys.stderr.write(reason)
                if asked.keep and came in (CRASHED, FAULT):
                    asked.keep.mkdir(parents=True, exist_ok=True)
                    (asked.keep / f"{kind}-{sum(counts.values())}").write_bytes(data)
            totals.update(counts)
            columns = ", ".join(f"{counts[came]} {came}" for came in (DECODED, REFUSED, CRASHED))
            say(f"{kind}: {columns}, {counts[FAULT]} faults")
            for reason, count in endings.most_common():
                say(f"    {count} x {reason}")
    POOL.close()
    say(f"{totals.total()} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
