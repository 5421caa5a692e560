"""Makes derived bundles: another image or text tower, and everything else from the base."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from indexer.bundles.bundle import BANK, REFERENCE, Bundle
from indexer.bundles.checksums import digests
from indexer.encoders.onnx_encoder import OnnxEncoder

from .caption_bank import write_bank


def complete(base: Bundle, folder: Path, name: str, **changes: Any) -> Bundle:
    """Copy what `folder` lacks of a bundle from its base: a tower, the tokenizer and captions.

    Args:
        base: The bundle to copy from.
        folder: Holds the files of a new image tower, of a new text tower, or of both.
        name: The name of the derived bundle.
        changes: Other entries of the manifest that differ.

    Returns:
        The derived bundle, whose fingerprint covers the base's and the new towers. Its manifest is
        not written yet.
    """
    new = [f for f in (*base.image_graph.files, *base.text_graph.files) if (folder / f).is_file()]
    for file in (*base.image_graph.files, *base.text_graph.files, base.text.file, BANK, REFERENCE):
        if not (folder / file).is_file() and (base.folder / file).is_file():
            shutil.copyfile(base.folder / file, folder / file)
    made = replace(base, folder=folder, name=name, checksums={}, **changes)
    if base.text_graph.file in new:  # captions have other vectors now
        write_bank(OnnxEncoder(made, device="cpu", made_here=True), folder)
    sums = digests(made)
    mark = blake3(" ".join([base.fingerprint, *(sums[file] for file in new)]).encode())
    return replace(made, fingerprint=mark.hexdigest(length=16), checksums=sums)
