"""Compare what clipdex decodes with what Chromium shows, and TIFFs with what tifffile reads.

Every file that begins like a JPEG, PNG, GIF, WebP, BMP or AVIF is shown to a headless Chromium and
drawn on white. Both images are reduced to thumbnails; they agree where the 8-bit values differ by
at most MEAN on average and by at most MOST in 99 of 100 samples. A TIFF is compared with tifffile's
first page by rank correlation of its brightness, since scales and palettes are each reader's own.

usage: python benchmarks/agreement.py CORPUS [--keep FOLDER] [--chromium FILE]
    CORPUS: a folder of images, such as the tests of image libraries, searched for at any depth
    --keep: keeps what Chromium shows in this folder, for the next run
"""

import argparse
import base64
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Error, Page, sync_playwright

from indexer.errors import ImageError
from indexer.images.damaged import PARTLY_READABLE
from indexer.images.decode import Decoded, Limits, decode
from indexer.images.formats import HEAD, TIFF, looks_like_image
from indexer.images.isobmff import brands
from measure import report

SIDE = 64
MEAN, MOST = 4.0, 32.0
MIN_CORRELATION = 0.98
# Chromium draws larger images at this many pixels.
DRAWN = 1024
SECONDS = 20.0
DRAW = """async ([data, most]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const image = new Image();
    const shown = await new Promise(done => {
        image.onload = () => done(true);
        image.onerror = () => done(false);
        image.src = URL.createObjectURL(new Blob([bytes]));
    });
    URL.revokeObjectURL(image.src);
    if (!shown || !image.naturalWidth) return null;
    const scale = Math.min(1, most / Math.max(image.naturalWidth, image.naturalHeight));
    const canvas = document.createElement('canvas');
    canvas.width = Math.max(1, Math.round(scale * image.naturalWidth));
    canvas.height = Math.max(1, Math.round(scale * image.naturalHeight));
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL().split(',')[1];
}"""


def kind_of(data: bytes) -> str:
    """The format that the first bytes name."""
    starts = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"BM": "BMP"}
    starts |= dict.fromkeys(TIFF, "TIFF")
    for start, kind in starts.items():
        if data.startswith(start) and (kind != "BMP" or looks_like_image(data[:HEAD])):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return "AVIF" if brands(data[:HEAD]) & {b"avif", b"avis"} else ""


class Chromium:
    """A page that shows images, opened again when a file takes it down."""

    def __init__(self, playwright: object, executable: str, keep: Path | None) -> None:
        self._chromium = playwright.chromium  # type: ignore[attr-defined]
        self._executable = executable
        self._keep = keep
        self._page: Page | None = None

    def shows(self, data: bytes) -> Image.Image | None:
        """What it shows of a file on white; None for nothing, not even a part."""
        kept = None
        if self._keep is not None:
            kept = self._keep / hashlib.sha256(data).hexdigest()
        if kept is not None and kept.is_file():
            found = kept.read_bytes()
        else:
            found = self._draw(data)
            if kept is not None:
                kept.write_bytes(found)
        if not found:
            return None
        drawn = Image.open(io.BytesIO(found)).convert("RGBA")
        if drawn.getchannel("A").getextrema()[1] == 0:
            return None
        return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")

    def _draw(self, data: bytes) -> bytes:
        try:
            if self._page is None:
                browser = self._chromium.launch(
                    executable_path=self._executable, args=["--no-sandbox"]
                )
                self._page = browser.new_page()
                self._page.set_default_timeout(1000 * SECONDS)
            drawn = self._page.evaluate(DRAW, [base64.b64encode(data).decode(), DRAWN])
        except Error:
            self._page = None
            return b""
        return base64.b64decode(drawn or "")


def thumbnail(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)


def difference(decoded: Decoded, shown: Image.Image) -> str:
    """How an image differs from what Chromium shows; empty where they agree."""
    # Chromium's are rounded to whole pixels.
    ratio = decoded.width / decoded.height / (shown.width / shown.height)
    if min(shown.size) > 16 and not 0.9 < ratio < 1.1:
        return f"{decoded.width} x {decoded.height} rather than {shown.width} x {shown.height}"
    ours, theirs = thumbnail(decoded.image), thumbnail(shown)
    if any(note.startswith(PARTLY_READABLE) for note in decoded.notes):
        # Where pixels are missing ours is white, and Chromium's white or gray.
        theirs = np.where((ours == 255).all(axis=2, keepdims=True), ours, theirs)
    apart = np.abs(ours - theirs)
    mean, most = apart.mean(), np.percentile(apart, 99)
    return "" if mean <= MEAN and most <= MOST else f"{mean:.1f} on average, {most:.0f} at most"


def tiff_truth(data: bytes) -> NDArray[np.float64] | None:
    """The brightness of the first page as tifffile reads it, `(h, w)`; None where it cannot."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages[0].aspage()
            values = np.asarray(page.asarray(), dtype=np.float64)
            axes, photometric, colors = page.axes, int(page.photometric), page.colormap
            orientation = page.tags.valueof(274, 1)
            extra = int(page.extrasamples[0]) if page.extrasamples else 0
    except Exception:  # whatever it raises: it cannot
        return None
    if values.ndim != len(axes) or orientation not in (0, 1):
        return None
    if axes == "SYX":
        values, axes = np.moveaxis(values, 0, -1), "YXS"
    alpha = None
    if axes == "YXS":
        count = 3 if values.shape[-1] >= 3 else 1
        if extra in (1, 2) and values.shape[-1] > count:
            alpha = values[..., count] / max(1.0, float(values[..., count].max()))
        values = values[..., :count].mean(axis=2)
    if photometric == 3 and colors is not None:
        values = np.asarray(colors, dtype=np.float64)[:, values.astype(int)].mean(axis=0)
    if alpha is not None:  # on white, as clipdex and viewers show it
        values = (values if extra == 1 else values * alpha) + (1 - alpha) * values.max()
    if values.ndim != 2 or photometric > 3:
        return None
    return -values if photometric == 0 else values


def tiff_difference(decoded: Decoded, truth: NDArray[np.float64]) -> str:
    if truth.shape != (decoded.height, decoded.width):
        return f"{decoded.width} x {decoded.height} rather than {truth.shape[1]} x {truth.shape[0]}"
    ours = np.asarray(decoded.image, dtype=np.float64).mean(axis=2)
    truth = np.nan_to_num(truth, posinf=0.0, neginf=0.0)
    low, high = np.percentile(truth, (0.1, 99.9))
    truth = np.clip(truth, low, high)
    if ours.std() < 1 or truth.std() <= 1e-9 * max(1.0, float(np.abs(truth).max())):
        return ""  # nothing to compare: one color
    correlation = float(np.corrcoef(ours.ravel(), truth.ravel())[0, 1])
    return "" if correlation >= MIN_CORRELATION else f"correlation {correlation:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asked = parser.parse_args()
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    apart: list[str] = []

    def compare(files: Iterator[Path], chromium: Chromium) -> None:
        known: set[bytes] = set()
        for file in files:
            data = file.read_bytes()
            digest = hashlib.sha256(data).digest()
            kind = kind_of(data)
            if not kind or digest in known:
                continue
            known.add(digest)
            count, name = counts[kind], file.relative_to(asked.corpus)
            count["files"] += 1
            decoded, reason = None, ""
            try:
                decoded = decode(data, Limits(), name=bytes(name.name.encode("utf-8", "replace")))
            except ImageError as exc:
                reason = str(exc)
            truth = tiff_truth(data) if kind == "TIFF" else None
            shown = chromium.shows(data) if kind != "TIFF" else None
            count["shown"] += truth is not None or shown is not None
            count["indexed"] += decoded is not None
            count["partly readable"] += decoded is not None and any(
                note.startswith(PARTLY_READABLE) for note in decoded.notes
            )
            if decoded is None:
                if truth is not None or shown is not None or kind == "TIFF":
                    apart.append(f"{kind} {name}: not indexed: {reason}")
                count["shown, not indexed"] += truth is not None or shown is not None
                continue
            if truth is None and shown is None:
                if kind != "TIFF":
                    apart.append(f"{kind} {name}: indexed, not shown; {'; '.join(decoded.notes)}")
                continue
            what = (
                tiff_difference(decoded, truth) if truth is not None else difference(decoded, shown)  # type: ignore[arg-type]
            )
            count["agree"] += not what
            if what:
                apart.append(f"{kind} {name}: differs: {what} {'; '.join(decoded.notes)}")

    with sync_playwright() as playwright:
        chromium = Chromium(playwright, asked.chromium, asked.keep)
        compare((file for file in sorted(asked.corpus.rglob("*")) if file.is_file()), chromium)
    heads = ("files", "shown", "indexed", "partly readable", "shown, not indexed", "agree")
    rows = [
        {"format": kind, **{head: counts[kind][head] for head in heads}} for kind in sorted(counts)
    ]
    rows.append(
        {"format": "all", **{head: sum(counts[kind][head] for kind in counts) for head in heads}}
    )
    report("agreement", "Images as Chromium shows them, TIFFs as tifffile reads them", rows,
           notes=apart)  # fmt: skip


if __name__ == "__main__":
    main()
