"""Heads and concepts as files: a folder with a manifest and arrays, both covered by digests.

`manifest.json` says what the artifact is, for which fingerprint, how it was made and what was
measured; `arrays.safetensors` holds the numbers. Files that were changed, by hand or by accident,
are refused, and nothing is unpickled. `adaptation/artifact_writer.py` writes them.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.errors import ArtifactError, FingerprintMismatch
from indexer.json_files import Fields, read_json
from indexer.text_files import read_bytes

FORMAT = 1
MANIFEST, ARRAYS = "manifest.json", "arrays.safetensors"
# What earlier versions called entries of the manifest, and of its metrics.
EARLIER_NAMES = {"figures": "metrics", "pictures": "images"}
# Far above what `clipdex adapt` writes, and far below what fills the memory.
MAX_MEGABYTES = 4_000
# Logits are divided by a temperature, and must not overflow.
MIN_TEMPERATURE = 1e-6
CONCEPT = "concept"
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
        packed = read_bytes(folder / ARRAYS, megabytes=MAX_MEGABYTES, pipes=False)
    except OSError as exc:
        raise ArtifactError(f"{folder} cannot be read: {exc}") from exc
    if manifest.get("arrays") != digest(packed).hex():
        raise ArtifactError(CHANGED.format(folder))
    arrays = unpack(packed, folder)
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ArtifactError(f"{folder} is damaged: {name!r} does not hold finite numbers")
    return Artifact(manifest["name"], manifest["kind"], manifest["fingerprint"], arrays, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read an artifact's manifest, its entries named as this version names them.

    Raises:
        ArtifactError: It is missing, damaged or changed.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except (OSError, ValueError) as exc:
        raise ArtifactError(f"{folder} cannot be read: {exc}") from exc
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder} is of another format than this clipdex's ({FORMAT}): learn it again, or "
            "upgrade clipdex"
        )
    try:
        if manifest.get("digest") != manifest_digest(manifest):
            raise ArtifactError(CHANGED.format(folder))
        current = _renamed(manifest)
        _check(Fields(current))
    except ValueError as exc:
        raise ArtifactError(f"{folder} is damaged: {exc}") from exc
    if "metrics" in current:
        current["metrics"] = {
            key: _renamed(value) if isinstance(value, dict) else value
            for key, value in current["metrics"].items()
        }
    return current


def _check(fields: Fields) -> None:
    """Raise ValueError if an entry that clipdex uses is missing or makes no sense."""
    for key in ("name", "kind", "fingerprint", "arrays"):
        fields.text(key)
    for key in ("model", "made", "method"):
        fields.text(key, "")
    fields.object("metrics", {})
    if fields.text("kind") == CONCEPT:
        fields.fields("images").texts("like")
        return
    fields.text("method")
    temperature = fields.number("temperature", positive=True)
    if not MIN_TEMPERATURE <= temperature <= 1 / MIN_TEMPERATURE:
        raise ValueError(f"'temperature' is {temperature}")
    classes = fields.texts("classes")
    if not classes or len(set(classes)) < len(classes):
        raise ValueError("'classes' is empty or names one twice")


def _renamed(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {EARLIER_NAMES.get(key, key): value for key, value in entries.items()}


def unpack(packed: bytes, place: Path) -> Arrays:
    """Return the arrays in safetensors' bytes; `place` is named in errors.

    Raises:
        ArtifactError: The bytes are damaged.
    """
    from safetensors.numpy import load as unpacked

    try:
        arrays: dict[str, NDArray[np.float32]] = unpacked(packed)
    except Exception as exc:  # also of kinds of numbers that NumPy lacks
        raise ArtifactError(f"the arrays in {place} cannot be read: {exc}") from exc
    return arrays


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Return the digest of all entries except "digest"."""
    from indexer.store.content_hash import digest

    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return digest(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hex()


def require_shapes(
    arrays: Arrays, shapes: Mapping[str, tuple[str, ...]], place: Path, **sizes: int
) -> dict[str, int]:
    """Check that arrays fit each other.

    Args:
        arrays: By name.
        shapes: The names of each array's sides; sides of one name are equally long.
        place: Where they are from, for the error.
        sizes: The sides that are known.

    Returns:
        The length of each side.

    Raises:
        ArtifactError: One is missing, empty or does not fit.
    """
    for name, sides in shapes.items():
        array = arrays.get(name)
        if array is None:
            raise ArtifactError(f"{place} is damaged: it has no {name!r}")
        expected = tuple(
            sizes.setdefault(side, length) for side, length in zip(sides, array.shape, strict=False)
        )
        if array.ndim != len(sides) or array.shape != expected or not array.size:
            raise ArtifactError(
                f"{place} is damaged: {name!r} has the shape {array.shape}, which does not fit"
            )
    return sizes


def require_dim(dim: int, own: int, place: str) -> None:
    """Check that vectors are as long as those that an artifact was learnt from.

    Raises:
        ArtifactError: They are not.
    """
    if dim != own:
        raise ArtifactError(
            f"{place} is damaged: it is for vectors of {own:,} numbers, and the model's have "
            f"{dim:,}. Learn it again"
        )


def names(folder: Path) -> list[str]:
    """Return the names of a folder's artifacts in ascending order.

    Half-written ones, whose names start with a dot, are left out.
    """
    try:
        found = [entry.name for entry in os.scandir(folder) if is_artifact(entry.path)]
    except OSError:
        return []
    return sorted(name for name in found if not name.startswith("."))


def is_artifact(folder: Path | str) -> bool:
    """Return whether a folder holds a manifest or arrays, whatever is in them."""
    return any(os.path.lexists(os.path.join(folder, name)) for name in (MANIFEST, ARRAYS))
