"""A head as files: written whole or not at all, listed and removed."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from indexer.collection import Collection
from indexer.digest import digest
from indexer.errors import CollectionStorageError, HeadError
from search.heads import FORMAT, MANIFEST, WEIGHTS, Arrays, heads_folder, manifest_digest

NAME = re.compile(r"[\w][\w.-]{0,63}")


def check_name(name: str) -> None:
    """Raise HeadError for what cannot name a head."""
    if not NAME.fullmatch(name):
        raise HeadError(
            f"{name!r} cannot name a head: letters, digits, -, _ and . only, at most 64, and the "
            "first one a letter or digit"
        )


def save(collection: Collection, name: str, facts: Mapping[str, Any], arrays: Arrays) -> Path:
    """Write a head into the collection, in place of one of the same name; returns its folder.

    facts: its manifest without what is computed here. Raises CollectionStorageError.
    """
    from safetensors.numpy import save as packed

    check_name(name)
    weights = packed({key: np.ascontiguousarray(array) for key, array in arrays.items()})
    manifest = {"format": FORMAT, "name": name, **facts, "weights": digest(weights).hex()}
    manifest["digest"] = manifest_digest(manifest)
    folder = heads_folder(collection.folder) / name
    with _storage(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        try:
            _write(fresh / WEIGHTS, weights)
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


def remove(collection: Collection, name: str) -> None:
    """Delete a head. Raises HeadError where there is none of that name."""
    folder = heads_folder(collection.folder) / name
    if not NAME.fullmatch(name) or not (folder / MANIFEST).exists():
        raise HeadError(f"no head is called {name}: `clipdex adapt list` says which there are")
    with _storage(folder):
        # Unlisted first: half of a head is none.
        (folder / MANIFEST).unlink()
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
