"""Stage 3: check, shrink and pack the images of every source."""

import hashlib
import io
import json
import sys
import warnings
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from . import hashes
from .places import CACHE, EXCLUDE
from .read import READERS, Example, examples

SIDE = 256


def prepare() -> None:
    """Write a pack of 256-pixel squares, its table and its sentences for every source."""
    digests, held_out = hashes.held_out()
    for name in READERS:
        table = CACHE / "images" / f"{name}.npz"
        if name not in EXCLUDE and not table.is_file():
            table.parent.mkdir(parents=True, exist_ok=True)
            _pack(name, table, digests, held_out)


def packed() -> list[str]:
    """Return the sources whose images were packed and are not excluded."""
    return [
        name
        for name in READERS
        if name not in EXCLUDE and (CACHE / "images" / f"{name}.npz").is_file()
    ]


def _pack(name: str, table: Path, digests: set[str], held_out: np.ndarray) -> None:
    seen: set[str] = set()
    lengths, rows, aspects, lines = [], [], [], []
    counts = dict.fromkeys(("read", "unreadable", "same bytes", "held out", "alike", "kept"), 0)
    with table.with_suffix(".part").open("wb") as pack, Pool(2) as pool:
        for example, made in pool.imap(_shrink, examples(name), chunksize=16):
            counts["read"] += 1
            if made is None:
                counts["unreadable"] += 1
                continue
            content, digest, bits, aspect = made
            if digest in digests:
                counts["held out"] += 1
            elif digest in seen:
                counts["same bytes"] += 1
            elif hashes.alike(bits[None], held_out)[0]:
                counts["alike"] += 1
            else:
                counts["kept"] += 1
                seen.add(digest)
                pack.write(content)
                lengths.append(len(content))
                rows.append(bits)
                aspects.append(aspect)
                lines.append(json.dumps([example.key, example.sentences, example.thing]))
    table.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")
    table.with_suffix(".part").replace(table.with_suffix(".pack"))
    with table.open("wb") as file:
        np.savez(file, lengths=lengths, bits=np.stack(rows), aspects=np.array(aspects, np.float32))
    (table.with_suffix(".counts.json")).write_text(json.dumps(counts))
    sys.stdout.write(f"{name:12} {counts} {sum(lengths) / 1e6:.0f} MB\n")
    sys.stdout.flush()


def _shrink(example: Example) -> tuple[Example, tuple[bytes, str, np.ndarray, float] | None]:
    """Return an image as a packed square with its digest, bits and aspect; None if unreadable."""
    digest = hashlib.sha256(example.image).hexdigest()
    bare = Example(example.key, b"", example.sentences, example.thing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = Image.open(io.BytesIO(example.image))
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            image = _on_white(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, Image.DecompressionBombError):
        return bare, None
    bits = hashes.bits(hashes.grey(image))
    aspect = image.width / image.height
    if image.size[0] == image.size[1] < SIDE and len(example.image) < 16_000:
        return bare, (example.image, digest, bits, aspect)
    square = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3)
    written = io.BytesIO()
    square.save(written, "WEBP", quality=70, method=4)
    return bare, (written.getvalue(), digest, bits, aspect)


def _on_white(image: Image.Image) -> Image.Image:
    """Return an RGB image; what was transparent is white, in a small margin."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        box = image.getchannel("A").getbbox()
        image = image.crop(box) if box else image
        side = int(max(image.size) * 1.12) + 2
        paper = Image.new("RGBA", (side, side), "white")
        corner = ((side - image.width) // 2, (side - image.height) // 2)
        paper.alpha_composite(image, corner)
        return paper.convert("RGB")
    return image.convert("RGB")


def sentences(name: str) -> Iterator[tuple[str, list[str], str]]:
    """Yield key, sentences and thing of each packed image of a source."""
    with (CACHE / "images" / f"{name}.jsonl").open() as lines:
        for line in lines:
            key, texts, thing = json.loads(line)
            yield key, texts, thing
