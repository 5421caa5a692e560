"""The process that tries a graph, for `trial.py`."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.bundles.onnx_file import OnnxFile
from indexer.bundles.samples import sample_images
from indexer.errors import BundleError, ClipdexError

from .onnx_encoder import OnnxEncoder

TEXT = "a photo of a dog"


def main() -> None:
    """Try a graph in this process, which was started for that, and say how it went."""
    folder, name, graph, seconds, megabytes = json.loads(sys.argv[2])
    _limit(seconds, megabytes)
    answer = {"outcome": "runs"}
    try:
        bundle = replace(Bundle.load(Path(folder)), name=name)
        if loop := OnnxFile.read(bundle.folder / graph).loop:
            raise BundleError(
                f"{bundle.folder / graph} has a {loop}: how long that takes cannot be known before"
            )
        encoder = OnnxEncoder(bundle, device="cpu", made_here=True)
        if graph == bundle.image_graph.file:
            encoder.encode_images(bundle.image.pixels(sample_images(1)[0])[np.newaxis])
        else:
            encoder.encode_texts([TEXT])
    except MemoryError:
        answer = {"outcome": "memory"}
    except ClipdexError as exc:
        # ONNX Runtime has no exception of its own for it.
        lacking = any(word in str(exc).lower() for word in ("bad_alloc", "allocate memory"))
        answer = {"outcome": "memory"} if lacking else {"outcome": "error", "error": str(exc)}
    except Exception as exc:
        answer = {"outcome": "error", "error": f"cannot run {graph} in {folder}: {exc}"}
    print(json.dumps(answer), flush=True)  # noqa: T201
    os._exit(0)  # at once, whatever threads there are


def _limit(seconds: int, megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 10**6,) * 2)
