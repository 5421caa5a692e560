"""`--precision int8`: a derived bundle in 8 bits, calibrated on the user's images, and its loss."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from re import sub

import numpy as np

from indexer.bundles import cache
from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, Pixels
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import CompileError, ImageError
from indexer.images.decode import Limits, decode, read_file
from indexer.images.preprocess import Preprocess
from indexer.scan.walk import Found, walk

SUFFIX = "+int8"
# How many images calibrate, and how many others measure the loss, evenly spread over the first
# `AMONG` images of the folders.
CALIBRATED = 64
MEASURED = 192
AMONG = 5000
MIN_IMAGES = 32

Report = Callable[[str], None]


@dataclass(frozen=True)
class Loss:
    """How much an 8-bit model differs from its base, on images that it was not calibrated on.

    Attributes:
        images: How many images it was measured on.
        cosine_median: Median cosine of an image's two vectors.
        cosine_least: Minimum cosine of an image's two vectors.
        recall_at_10: With the captions of the bank as queries, the share of the ten best images
            that are still among the ten best.
    """

    images: int
    cosine_median: float
    cosine_least: float
    recall_at_10: float

    def __str__(self) -> str:
        return (
            f"cosine {self.cosine_median:.4f} (median), {self.cosine_least:.4f} (minimum) with "
            f"full precision, {100 * self.recall_at_10:.1f} % of the ten best hits the same, on "
            f"{self.images} images"
        )


def full_precision(name: str) -> str:
    """Return the name of the model that an 8-bit one was made from; other names unchanged."""
    if not name.endswith(SUFFIX):
        return name
    record = cache.read_record(name)
    return record.source if record else name.removesuffix(SUFFIX)


def int8(
    base: Bundle,
    paths: Sequence[Path],
    *,
    limits: Limits | None = None,
    on_progress: Report = lambda line: None,
) -> tuple[Bundle, Loss]:
    """Return the 8-bit bundle derived from a base, from the cache or made now.

    Args:
        base: The bundle in full precision.
        paths: Folders and files whose images calibrate the bundle and measure its loss.
        limits: The largest file and image to read.
        on_progress: Called with a line of text on what is being done.

    Returns:
        The derived bundle, and its loss compared with the base.

    Raises:
        CompileError: The onnx package is missing, or there are too few images.
    """
    name = sub(r"[^\w.-]+", "-", base.name).strip("-") + SUFFIX
    with cache.compiling(name):
        record = cache.read_record(name)
        cached = cache.find_fingerprint(record.fingerprint) if record else None
        if cached is not None and cached.quantized.get("base") == base.fingerprint:
            return replace(cached, name=name), Loss(**cached.quantized["loss"])
        on_progress(f"quantizing {base.name} to 8 bits on some of your images, once")
        made, loss = _make(base, name, paths, limits or Limits())
        cache.write_record(cache.Record(name, made.fingerprint, base.name, None, []))
    return made, loss


def _make(base: Bundle, name: str, paths: Sequence[Path], limits: Limits) -> tuple[Bundle, Loss]:
    try:
        from .quantize import quantize
    except ImportError as exc:
        raise CompileError(
            f"--precision int8 needs one more package ({exc.name}): pip install 'clipdex[int8]'"
        ) from exc
    pixels = sample_pixels(paths, base.image, limits)
    if len(pixels) < MIN_IMAGES:
        raise CompileError(
            f"--precision int8 is calibrated on your images and needs at least {MIN_IMAGES} of "
            f"them; {len(pixels)} could be read here. Leave it out: so few are indexed quickly"
        )
    calibrated, measured = pixels[: len(pixels) // 4], pixels[len(pixels) // 4 :]
    models = cache.models_folder()
    work = Path(tempfile.mkdtemp(prefix=".int8-", dir=models))
    try:
        made = quantize(base, calibrated, work, name)
        loss = measure(OnnxEncoder(base, device="cpu"), OnnxEncoder(made, device="cpu"), measured)
        folder = models / made.fingerprint
        made = replace(made, folder=folder, quantized={**made.quantized, "loss": asdict(loss)})
        replace(made, folder=work).save()
        work.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made, loss


def measure(full: OnnxEncoder, rounded: OnnxEncoder, pixels: Pixels) -> Loss:
    """Measure what an 8-bit model loses.

    Args:
        full: The base.
        rounded: The 8-bit model.
        pixels: Images `(n, 3, h, w)` that it was not calibrated on.
    """
    ours, theirs = (_encode(encoder, pixels) for encoder in (rounded, full))
    cosines = (ours * theirs).sum(axis=1)
    bank = full.bundle.bank
    recall = 1.0 if bank is None else _agreement(bank @ ours.T, bank @ theirs.T)
    return Loss(len(pixels), float(np.median(cosines)), float(cosines.min()), recall)


def _agreement(ours: Embeddings, theirs: Embeddings) -> float:
    """Return the share of the ten best of each row of scores that both have."""
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :10] for scores in (ours, theirs)]
    same = [np.isin(one, other).mean() for one, other in zip(*best, strict=True)]
    return float(np.mean(same))


def _encode(encoder: OnnxEncoder, pixels: Pixels) -> Embeddings:
    step = encoder.batch_size
    parts = [encoder.encode_images(pixels[at : at + step]) for at in range(0, len(pixels), step)]
    return np.concatenate(parts)


def sample_pixels(paths: Sequence[Path], preprocess: Preprocess, limits: Limits) -> Pixels:
    """Return pixels `(n, 3, h, w)` of images sampled evenly from those below `paths`."""
    files = list(islice(_files(paths), AMONG))
    wanted = CALIBRATED + MEASURED
    # Interleaved, so that the part used for calibration comes from everywhere too.
    order = [at for turn in range(4) for at in range(turn, wanted, 4)]
    even = [files[at * len(files) // wanted] for at in order] if len(files) > wanted else files
    pixels = []
    for file in even:
        try:
            _, data = read_file(file, limits)
            decoded = decode(data, limits, at_least=preprocess.size, name=file)
        except ImageError:
            continue
        pixels.append(preprocess.pixels(decoded.image))
    return np.stack(pixels) if pixels else np.empty((0, 3, *preprocess.size), np.uint8)


def _files(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        if path.is_file():
            yield os.fsencode(path)
        elif path.is_dir():
            for found in walk(path):
                if isinstance(found, Found):
                    yield os.path.join(os.fsencode(path), found.path)
