"""Heads and concepts as files: a folder with a manifest and arrays, both covered by digests.

`manifest.json` says what the artifact is, for which fingerprint, how it was made and what was
measured; `arrays.safetensors` holds the numbers. Files that were changed, by hand or by accident,
are refused, and nothing is unpickled. `adaptation/artifact_writer.py` writes them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.errors import ArtifactError, FingerprintMismatch

FORMAT = 1
MANIFEST, ARRAYS = "manifest.json", "arrays.safetensors"
# What earlier versions called entries of the manifest, and of its metrics.
EARLIER_NAMES = {"figures": "metrics", "pictures": "images"}
CHANGED = "{} is not what `clipdex adapt` wrote: its files were changed. Learn it again"

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Artifact:
    """What a folder holds.

    Attributes:
        name: What it is called.
        kind: Which arrays it has.
        fingerprint: Of the model whose vectors it was learnt from.
        arrays: By name.
        metadata: The whole manifest.
    """

    name: str
    kind: str
    fingerprint: str
    arrays: Arrays
    metadata: Mapping[str, Any]

    def require(self, fingerprint: str, model: str) -> None:
        """Check that this was learnt from vectors of a fingerprint.

        Args:
            fingerprint: Of the collection's model.
            model: The name of that model, for the error.

        Raises:
            FingerprintMismatch: This was learnt from vectors of another model.
        """
        if self.fingerprint != fingerprint:
            raise FingerprintMismatch(
                f"{self.name} was learnt from vectors of another model "
                f"({self.metadata.get('model', 'unknown')}) than this collection's ({model}). "
                "Learn it again with `clipdex adapt`, or index with its model"
            )


def load(folder: Path) -> Artifact:
    """Read an artifact.

    Raises:
        ArtifactError: It is missing, damaged or changed.
    """
    from indexer.store.content_hash import digest

    manifest = read_manifest(folder)
    try:
        packed = (folder / ARRAYS).read_bytes()
    except OSError as exc:
        raise ArtifactError(f"{folder} cannot be read: {exc}") from exc
    if manifest.get("arrays") != digest(packed).hex():
        raise ArtifactError(CHANGED.format(folder))
    arrays = unpack(packed, folder)
    return Artifact(manifest["name"], manifest["kind"], manifest["fingerprint"], arrays, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read an artifact's manifest, its entries named as this version names them.

    Raises:
        ArtifactError: It is missing, damaged or changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as exc:
        raise ArtifactError(f"{folder} cannot be read: {exc}") from exc
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder} is of another format than this clipdex's ({FORMAT}): learn it again, or "
            "upgrade clipdex"
        )
    if manifest.get("digest") != manifest_digest(manifest):
        raise ArtifactError(CHANGED.format(folder))
    current = _renamed(manifest)
    if "metrics" in current:
        current["metrics"] = {
            key: _renamed(value) if isinstance(value, dict) else value
            for key, value in current["metrics"].items()
        }
    return current


def _renamed(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {EARLIER_NAMES.get(key, key): value for key, value in entries.items()}


def unpack(packed: bytes, place: Path) -> Arrays:
    """Return the arrays in safetensors' bytes; `place` is named in errors.

    Raises:
        ArtifactError: The bytes are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpacked

    try:
        arrays: dict[str, NDArray[np.float32]] = unpacked(packed)
    except SafetensorError as exc:
        raise ArtifactError(f"the arrays in {place} cannot be read: {exc}") from exc
    return arrays


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Return the digest of all entries except "digest"."""
    from indexer.store.content_hash import digest

    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return digest(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hex()


def names(folder: Path) -> list[str]:
    """Return the names of a folder's artifacts in ascending order.

    Half-written ones, whose names start with a dot, are left out.
    """
    found = (place.parent.name for place in folder.glob(f"*/{MANIFEST}"))
    return sorted(name for name in found if not name.startswith("."))
