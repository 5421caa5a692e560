"""A bundle with another image tower: the rest is the base's."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from indexer.bundles.bundle import BANK, Bundle
from indexer.bundles.checksums import digests


def complete(base: Bundle, folder: Path, name: str, **changes: Any) -> Bundle:
    """Put the base's texts, tokenizer and captions beside the image tower in `folder`.

    changes: what else the manifest says otherwise. The fingerprint is the base's and the tower's.
    """
    for file in ("text.onnx", "text.onnx.data", base.text.file, BANK):
        if (base.folder / file).is_file():
            shutil.copyfile(base.folder / file, folder / file)
    made = replace(base, folder=folder, name=name, checksums={}, **changes)
    sums = digests(made)
    mark = blake3(f"{base.fingerprint} {sums['image.onnx']} {sums['image.onnx.data']}".encode())
    return replace(made, fingerprint=mark.hexdigest(length=16), checksums=sums)
