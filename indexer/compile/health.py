"""Checks that a compiled model is still what it was."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.bundles.checksums import damaged_files
from indexer.bundles.samples import sample_images, sample_texts
from indexer.errors import ClipdexError


@dataclass(frozen=True)
class Check:
    """The result of checking a bundle.

    Attributes:
        good: Whether nothing was wrong.
        findings: What was checked, and with what result, in words.
    """

    good: bool
    findings: tuple[str, ...]


def check(bundle: Bundle) -> Check:
    """Check a bundle's files, run it, and compare it with open_clip if that is possible."""
    damaged = damaged_files(bundle)
    if damaged:
        return Check(False, (f"{', '.join(damaged)} differ from what was compiled: remove "
                             f"{bundle.folder} and compile the model again",))  # fmt: skip
    files = "files intact" if bundle.checksums else "its manifest has no checksums"
    try:
        ran = _run(bundle)
        compared = _compare(bundle)
    except ClipdexError as exc:
        return Check(False, (files, str(exc)))
    return Check(True, (files, ran, *bundle.checks, compared))


def _run(bundle: Bundle) -> str:
    """Encode one image and one text."""
    from indexer.encoders.onnx_encoder import OnnxEncoder
    from indexer.errors import BundleError

    encoder = OnnxEncoder(bundle, device="cpu")
    pixels = bundle.image.pixels(sample_images(1)[0])[None]
    vectors = (encoder.encode_images(pixels), encoder.encode_texts(sample_texts()[:1]))
    for vector in vectors:
        if vector.shape != (1, bundle.dim) or abs(np.linalg.norm(vector) - 1) > 1e-3:
            raise BundleError(
                f"{bundle.name} does not make unit vectors of {bundle.dim} dimensions"
            )
    return "runs"


def _compare(bundle: Bundle) -> str:
    from indexer.bundles import cache
    from indexer.model_name import BUILT_INS, parse

    record = cache.read_record(bundle.name)
    if bundle.name in BUILT_INS or record is None:
        return "not compared with open_clip (its weights are not here)"
    model_name = parse(record.source, record.arch if _is_file(record.source) else None)
    if model_name.path is None or not model_name.path.exists():
        return "not compared with open_clip (its weights are not here)"
    if cache.stamp(model_name) != record.stamp:
        return "not compared with open_clip (the weights have changed since)"
    if find_spec("torch") is None or find_spec("open_clip") is None:
        return "not compared with open_clip (pip install 'clipdex[torch]' for that)"
    from indexer.openclip.loader import load

    from .verify import verify

    result = verify(bundle, load(model_name))
    return (
        f"cosine with open_clip at least {result.image_cosine:.6f} on images, "
        f"{result.text_cosine:.6f} on texts"
    )


def _is_file(source: str) -> bool:
    from indexer.model_name import CHECKPOINTS

    return source.endswith(CHECKPOINTS) and not source.startswith(("hf-hub:", "local-dir:"))
