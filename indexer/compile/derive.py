"""Makes derived bundles: another image tower, and everything else from the base."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from indexer.bundles.bundle import BANK, REFERENCE, Bundle
from indexer.bundles.checksums import digests


def complete(base: Bundle, folder: Path, name: str, **changes: Any) -> Bundle:
    """Copy the base's text tower, tokenizer and captions beside the image tower in `folder`.

    Args:
        base: The bundle to copy from.
        folder: Holds the files of the image tower.
        name: The name of the derived bundle.
        changes: Other entries of the manifest that differ.

    Returns:
        The derived bundle, whose fingerprint covers the base's and the image tower. Its manifest is
        not written yet.
    """
    for file in ("text.onnx", "text.onnx.data", base.text.file, BANK, REFERENCE):
        if (base.folder / file).is_file():
            shutil.copyfile(base.folder / file, folder / file)
    made = replace(base, folder=folder, name=name, checksums={}, **changes)
    sums = digests(made)
    mark = blake3(f"{base.fingerprint} {sums['image.onnx']} {sums['image.onnx.data']}".encode())
    return replace(made, fingerprint=mark.hexdigest(length=16), checksums=sums)
