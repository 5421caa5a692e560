"""`--precision int8`: a derived bundle in 8 bits, calibrated on the user's images, and its loss."""

import os
import shutil
import tempfile
import time
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
from indexer.images.decode import Limits, prepare
from indexer.images.preprocess import Preprocess
from indexer.model_name import INT8_SUFFIX
from indexer.scan.walk import Found, walk
from indexer.scan.walk_remote import walk_url
from indexer.sources.reading import read_location
from indexer.store.paths import is_remote
from indexer.store.records import join

# How many images calibrate, and how many others measure the loss, evenly spread over the first
# `AMONG` images of the folders.
CALIBRATED = 64
MEASURED = 192
AMONG = 5000
MIN_IMAGES = 32
# How many of the first convolutions stay in full precision: the second number is tried where the
# first loses too much. Chosen on Flickr8k's train photos: docs/decisions/0028.
KEPT = (7, 14)
# Below these cosines with full precision, or this speed compared with it, it is not worth it.
MIN_MEDIAN, MIN_LEAST, MIN_SPEEDUP = 0.985, 0.93, 1.1
ROUNDS = 3

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
        speedup: How many times as fast it is on this machine.
    """

    images: int
    cosine_median: float
    cosine_least: float
    recall_at_10: float
    speedup: float

    @property
    def refusal(self) -> str | None:
        """Why the model is not worth its loss; None where it is."""
        if self.cosine_median < MIN_MEDIAN or self.cosine_least < MIN_LEAST:
            return (
                f"it loses too much on your images: cosine {self.cosine_median:.3f} in the median "
                f"and {self.cosine_least:.3f} at least with full precision, where {MIN_MEDIAN} and "
                f"{MIN_LEAST} are wanted"
            )
        if self.speedup < MIN_SPEEDUP:
            return f"it is only {self.speedup:.2f} times as fast as full precision on this machine"
        return None

    def __str__(self) -> str:
        return (
            f"{self.speedup:.1f} times as fast here; "
            f"cosine {self.cosine_median:.4f} (median), {self.cosine_least:.4f} (minimum) with "
            f"full precision, {100 * self.recall_at_10:.1f} % of the ten best hits the same, on "
            f"{self.images} images"
        )


def full_precision(name: str) -> str:
    """Return the name of the model that an 8-bit one was made from; other names unchanged."""
    if not name.endswith(INT8_SUFFIX):
        return name
    record = cache.read_record(name)
    return record.source if record else name.removesuffix(INT8_SUFFIX)


def int8(
    base: Bundle,
    paths: Sequence[Path | str],
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
        CompileError: The onnx package is missing, there are too few images, or the derived model
            loses too much or is no faster on this machine.
    """
    base.require_compiled("--precision int8")
    name = sub(r"[^\w.-]+", "-", base.name).strip("-") + INT8_SUFFIX
    with cache.compiling(name):
        record = cache.read_record(name)
        cached = cache.find_fingerprint(record.fingerprint) if record else None
        if (
            cached is not None
            and cached.is_portable
            and cached.quantized.get("base") == base.fingerprint
        ):
            return replace(cached, name=name), Loss(**cached.quantized["loss"])
        on_progress(f"quantizing {base.name} to 8 bits on some of your images, once")
        made, loss = _make(base, name, paths, limits or Limits())
        cache.write_record(cache.Record(name, made.fingerprint, base.name, None, []))
    return made, loss


def _make(
    base: Bundle, name: str, paths: Sequence[Path | str], limits: Limits
) -> tuple[Bundle, Loss]:
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
        full = OnnxEncoder(base, device="cpu")
        for kept in KEPT:
            made = quantize(base, calibrated, work, name, kept=kept)
            loss = measure(full, OnnxEncoder(made, device="cpu", made_here=True), measured)
            if loss.refusal is None:
                break
        else:
            raise CompileError(
                f"--precision int8 was made and given up: {loss.refusal}. Leave the option out"
            )
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
    return Loss(
        len(pixels),
        float(np.median(cosines)),
        float(cosines.min()),
        recall,
        _speedup(full, rounded, pixels[: MIN_IMAGES // 2]),
    )


def _speedup(full: OnnxEncoder, rounded: OnnxEncoder, pixels: Pixels) -> float:
    """Return how many times as fast one encoder is, in turns, since machines have moods."""
    ratios = []
    for _ in range(ROUNDS):
        times = []
        for encoder in (full, rounded):
            began = time.perf_counter()
            _encode(encoder, pixels)
            times.append(time.perf_counter() - began)
        ratios.append(times[0] / times[1])
    return float(np.median(ratios))


def _agreement(ours: Embeddings, theirs: Embeddings) -> float:
    """Return the share of the ten best of each row of scores that both have."""
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :10] for scores in (ours, theirs)]
    same = [np.isin(one, other).mean() for one, other in zip(*best, strict=True)]
    return float(np.mean(same))


def _encode(encoder: OnnxEncoder, pixels: Pixels) -> Embeddings:
    step = encoder.batch_size
    parts = [encoder.encode_images(pixels[at : at + step]) for at in range(0, len(pixels), step)]
    return np.concatenate(parts)


def sample_pixels(paths: Sequence[Path | str], preprocess: Preprocess, limits: Limits) -> Pixels:
    """Return pixels `(n, 3, h, w)` of images sampled evenly from those below `paths`."""
    files = list(islice(_files(paths), AMONG))
    wanted = CALIBRATED + MEASURED
    # Interleaved, so that the part used for calibration comes from everywhere too.
    order = [at for turn in range(4) for at in range(turn, wanted, 4)]
    even = [files[at * len(files) // wanted] for at in order] if len(files) > wanted else files
    pixels = []
    for file in even:
        try:
            data = read_location(file, limits)
            found = prepare(data, limits, preprocess, name=file)
        except ImageError:
            continue
        pixels.append(found.pixels)
    return np.stack(pixels) if pixels else np.empty((0, 3, *preprocess.size), np.uint8)


def _files(paths: Sequence[Path | str]) -> Iterator[bytes]:
    for path in paths:
        if is_remote(path):
            root, entries = walk_url(path)
            yield from (join(root, found.path) for found in entries if isinstance(found, Found))
        elif os.path.isfile(path):
            yield os.fsencode(path)
        elif os.path.isdir(path):
            for found in walk(Path(path)):
                if isinstance(found, Found):
                    yield os.path.join(os.fsencode(path), found.path)
