"""Writes and removes heads and concepts; `search/labels/artifact.py` reads them."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import ArtifactError, CollectionStorageError
from indexer.store.content_hash import digest
from search.labels.artifact import ARRAYS, FORMAT, MANIFEST, Arrays, manifest_digest

NAME = re.compile(r"[\w][\w.-]{0,63}")


def check_name(name: str) -> None:
    """Raise ArtifactError if a head or concept cannot have this name."""
    if not NAME.fullmatch(name):
        raise ArtifactError(
            f"{name!r} cannot be a name: it may have at most 64 letters, digits, -, _ and ., and "
            "begins with a letter or digit"
        )


def save(
    folders: Path,
    name: str,
    metadata: Mapping[str, Any],
    arrays: Arrays,
    *,
    beside: Mapping[str, Path] | None = None,
) -> Path:
    """Write an artifact as a whole or not at all, replacing one of the same name.

    Args:
        folders: The folder that holds a folder for each artifact.
        name: What the artifact is called.
        metadata: Its manifest, without format, name and digests.
        arrays: By name.
        beside: Folders that are copied into the artifact's, by their names there.

    Returns:
        The artifact's folder.

    Raises:
        ArtifactError: The name is not allowed.
        CollectionStorageError: It cannot be written.
    """
    from safetensors.numpy import save as pack

    check_name(name)
    packed = pack({key: np.ascontiguousarray(array) for key, array in arrays.items()})
    manifest = {"format": FORMAT, "name": name, **metadata, "arrays": digest(packed).hex()}
    manifest["digest"] = manifest_digest(manifest)
    folder = folders / name
    with _storage(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        try:
            _write(fresh / ARRAYS, packed)
            for inside, source in (beside or {}).items():
                shutil.copytree(source, fresh / inside)
            text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
            _write(fresh / MANIFEST, text.encode())
            if folder.exists():
                old = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
                folder.replace(old / name)
                fresh.replace(folder)
                shutil.rmtree(old)
            else:
                fresh.replace(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def remove(folder: Path) -> None:
    """Delete an artifact's folder, whatever it holds; of a link, the link."""
    with _storage(folder):
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink()
            return
        shutil.rmtree(folder)


def _write(file: Path, data: bytes) -> None:
    with open(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        with suppress(OSError):
            os.fsync(stream.fileno())


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise CollectionStorageError(
            f"cannot write {folder}: {exc.strerror or exc}. Free some space, or make it writable"
        ) from exc
