"""Stores of any size, filled with the same random vectors for every tool, and kept."""

import shutil
import sys
from pathlib import Path

import numpy as np
from blake3 import blake3

from measure import REPOSITORY
from peers.tools import Tool
from peers.weights import DIM
from random_collection import random_vectors


class Stores:
    """Written stores below a folder. root: where the files, of which there are none, would lie."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "stores"
        self.root = self.folder / "photos"
        self.root.mkdir(parents=True, exist_ok=True)

    def of(self, tool: Tool, count: int) -> Path:
        """A tool's store of `count` vectors, written first where it is not there, or was written by
        another version.
        """
        store = self.folder / f"{tool.name}-{count}"
        mark = self.folder / f"{tool.name}-{count}.made"
        maker = f"{tool.versions()}\n{_sources() if tool.name == 'clipdex' else ''}"
        if not mark.is_file() or mark.read_text() != maker:
            sys.stderr.write(f"writing {count:,} vectors into a store of {tool.name}\n")
            shutil.rmtree(store, ignore_errors=True)
            mark.unlink(missing_ok=True)
            tool.write(self._vectors(count), count, self.root, store)
            mark.write_text(maker)
        return store

    def _vectors(self, count: int) -> Path:
        """A file of at least `count` unit vectors."""
        for file in sorted(self.folder.glob("vectors-*.npy")):
            if int(file.stem.removeprefix("vectors-")) >= count:
                return file
        file = self.folder / f"vectors-{count}.npy"
        np.save(file, random_vectors(count, DIM))
        return file


def _sources() -> str:
    """Changes with anything that may change what clipdex writes."""
    hasher = blake3()
    for file in sorted((REPOSITORY / "indexer").glob("*.py")):
        hasher.update(file.read_bytes())
    return hasher.hexdigest()
