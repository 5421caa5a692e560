"""What decoding in child processes costs an index run, and what memory each format takes.

Two checkouts index the same folders in turn, each run in a fresh process. Processor seconds, those
of children included, tell more than images a second on a machine that others use, too. Then each
format is decoded once in a fresh process, to see how much memory it took for each pixel, and how
much was claimed for it.

usage: python benchmarks/isolated.py --base CHECKOUT [--rounds 7] [--large 60] [--small 800]
       [--wide 24]
"""

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from indexer.images.cicp import profile_of
from measure import REPOSITORY, report, spread
from photos import make_photos

INDEX = """
import json, sys
from indexer import build
done = build([sys.argv[1]], collection=sys.argv[2])
assert not done.failed, done
print(json.dumps(done.images_per_second))
"""
DECODE = """
import json, sys
from pathlib import Path
from indexer.errors import ImageError
from indexer.images.decode_here import decode_here
from indexer.images.decoded import Limits, Prepared
from indexer.images.preprocess import Preprocess
data, name = Path(sys.argv[1]).read_bytes(), sys.argv[1].encode()
claims = [0]
def peak():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
for module in ("tifffile", "pi_heif", "rawpy"):
    __import__(module)
before = peak()
try:
    decoded = decode_here(data, Limits(), lambda *claim: claims.append(claim[2]),
                          at_least=(224, 224), name=name)
    Prepared.of(decoded, Preprocess((224, 224)))
except ImageError:  # a cut file of which too little is there
    pass
print(json.dumps([peak() - before, max(claims)]))
"""


def run(checkout: Path, script: str, *arguments: object) -> object:
    """Run a script with the packages of a checkout; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=tempfile.gettempdir(),
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(done.stdout)


def processor_seconds() -> float:
    """Return what processes that have ended took, with those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def heic(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=70)
    return buffer.getvalue()


def saver(format_name: str, mode: str = "RGB", **options: object) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, format_name, **options)
        return buffer.getvalue()

    return save


def deep(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    values = np.asarray(image.convert("L")).astype(np.float32)
    Image.fromarray(values).save(buffer, "TIFF")
    return buffer.getvalue()


def profiled(
    format_name: str, mode: str = "RGB", **options: object
) -> Callable[[Image.Image], bytes]:
    """With a profile and an orientation, which are two more copies."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = profile_of(12, 13)
    return saver(format_name, mode, icc_profile=profile, exif=exif, **options)


def cut(format_name: str, **options: object) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        data = saver(format_name, **options)(image)
        return data[: len(data) * 3 // 4]

    return save


WRITERS = {
    "HEIC": heic,
    "AVIF": saver("AVIF", speed=9),
    "AVIF, alpha": saver("AVIF", "RGBA", speed=9),
    "JPEG 2000": saver("JPEG2000"),
    "JPEG 2000, alpha": saver("JPEG2000", "RGBA"),
    "TIFF": saver("TIFF"),
    "TIFF, LZW": saver("TIFF", compression="tiff_lzw"),
    "TIFF, CMYK": saver("TIFF", "CMYK"),
    "TIFF, alpha": saver("TIFF", "RGBA"),
    "TIFF, float": deep,
    "PNM": saver("PPM"),
    "PNG": saver("PNG", compress_level=1),
    "PNG, alpha": saver("PNG", "RGBA", compress_level=1),
    "PNG, palette": saver("PNG", "P", compress_level=1),
    "GIF": saver("GIF"),
    "BMP": saver("BMP"),
    "WebP": saver("WEBP", method=0),
    "WebP, alpha": saver("WEBP", "RGBA", method=0),
    "JPEG": saver("JPEG"),
    "JPEG, progressive": saver("JPEG", progressive=True, subsampling=0),
    "JPEG, CMYK": saver("JPEG", "CMYK"),
    "PNG, profile and orientation": profiled("PNG", compress_level=1),
    "AVIF, profile and orientation": profiled("AVIF", speed=9),
    "WebP, profile and orientation": profiled("WEBP", method=0),
    "TIFF, cut": cut("TIFF"),
    "PNG, alpha, profile and orientation": profiled("PNG", "RGBA", compress_level=1),
    "PNG, cut": cut("PNG", compress_level=1),
    "BMP, cut": cut("BMP"),
    "JPEG, cut": cut("JPEG"),
    "JPEG, progressive, cut": cut("JPEG", progressive=True, subsampling=0),
}


def make_folders(scratch: Path, asked: argparse.Namespace) -> dict[str, Path]:
    folders = {
        "JPEG, 12 megapixels": make_photos(scratch / "large", asked.large, (4000, 3000)),
        "JPEG, 300 pixels": make_photos(scratch / "small", asked.small, (400, 300)),
    }
    files = sorted(folders["JPEG, 12 megapixels"].iterdir())
    for kind, writer in (("HEIC", heic), ("AVIF", WRITERS["AVIF"])):
        folder = folders[f"{kind}, 12 megapixels"] = scratch / kind
        folder.mkdir()
        made = [writer(Image.open(file)) for file in files[:4]]
        for number in range(asked.wide):
            # Behind the last box comes a free one, which makes another content.
            free = b"\0\0\0\x10free%08d" % number
            (folder / f"{number}.{kind.lower()}").write_bytes(made[number % len(made)] + free)
    return folders


def speed(folders: dict[str, Path], scratch: Path, asked: argparse.Namespace) -> list[dict]:
    rows = []
    for title, folder in folders.items():
        rates: dict[Path, list[float]] = {asked.base: [], REPOSITORY: []}
        spent: dict[Path, list[float]] = {asked.base: [], REPOSITORY: []}
        for number in range(asked.rounds):
            order = list(rates) if number % 2 else list(reversed(rates))
            for checkout in order:
                place = scratch / f"{title}-{number}-{order.index(checkout)}"
                began = processor_seconds()
                rates[checkout].append(float(str(run(checkout, INDEX, folder, place))))
                spent[checkout].append(processor_seconds() - began)
        base, ours = (statistics.median(values) for values in rates.values())
        before, now = (statistics.median(values) for values in spent.values())
        rows.append(
            {
                "images": f"{len(list(folder.iterdir()))} of {title}",
                "images/s before": spread(rates[asked.base]),
                "images/s": spread(rates[REPOSITORY]),
                "ratio": f"{ours / base:.3f}",
                "processor seconds before": spread(spent[asked.base]),
                "processor seconds": spread(spent[REPOSITORY]),
                "ratio of those": f"{now / before:.3f}",
            }
        )  # fmt: skip
    return rows


def memory(photo: Path, scratch: Path) -> list[dict]:
    rows = []
    image = Image.open(photo).convert("RGB").resize((6000, 4000))
    pixels = image.width * image.height
    for title, writer in WRITERS.items():
        file = scratch / "one.image"
        file.write_bytes(writer(image))
        taken, claimed = run(REPOSITORY, DECODE, file)  # type: ignore[misc]
        rows.append(
            {
                "24 megapixels of": title,
                "bytes a pixel taken": f"{taken / pixels:.1f}",
                "bytes a pixel claimed": f"{claimed / pixels:.1f}",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--large", type=int, default=60)
    parser.add_argument("--small", type=int, default=800)
    parser.add_argument("--wide", type=int, default=24)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        photo = next(make_photos(scratch / "photo", 1, (4000, 3000)).iterdir())
        taken = memory(photo, scratch)
        rows = speed(make_folders(scratch, asked), scratch, asked)
        report("isolated", "Decoding in child processes, against without", rows, memory=taken)


if __name__ == "__main__":
    main()
