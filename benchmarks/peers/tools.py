"""What is compared: how each tool is given its model, indexes, searches, and keeps its vectors."""

import json
import sqlite3
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from measure import COMMAND
from peers.environments import CLIP_RETRIEVAL, RCLIP, python_of
from peers.processes import Command, run
from peers.weights import ARCHITECTURE, Weights
from random_collection import make_collection

INSIDE = Path(__file__).parent / "inside"
QUERIES = 5
"""How many queries a running process is asked after the first."""


class Tool(Protocol):
    """One of the programs compared. A store is a folder of its own, without the weights.

    searches_warm: whether `search` also tells what `warm` tells, its process being one that stays.
    """

    name: str
    searches_warm: bool

    def versions(self) -> str:
        """Its own and those of what it runs the model with."""

    def index(self, photos: Path, store: Path) -> Command:
        """Index a folder into a new store."""

    def write(self, vectors: Path, count: int, root: Path, store: Path) -> None:
        """Fill a new store with the first `count` of a file's vectors, of files below `root`."""

    def search(self, store: Path, root: Path, text: str) -> Command:
        """A process that answers one text query."""

    def warm(self, store: Path, root: Path, text: str) -> Command:
        """A process whose last line of output is the seconds of each later query, as JSON."""

    def vectors(self, store: Path) -> NDArray[np.float32]:
        """What `index` has stored: unit vectors `(n, dim)` in the order of the files' names."""


def names(count: int) -> list[str]:
    """The files that written stores say they hold."""
    return [f"{number:06}.jpg" for number in range(count)]


def stored_bytes(folder: Path) -> int:
    """Of all files in a folder; links, such as those to weights, do not count."""
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and not any(part.is_symlink() for part in (file, *file.parents))
    )


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    single = vectors.astype(np.float32)
    return single / np.linalg.norm(single, axis=1, keepdims=True)


class Clipdex:
    """This repository's, by the installed command, with the model compiled beforehand."""

    name = "clipdex"
    searches_warm = False

    def __init__(self, weights: Weights) -> None:
        self.bundle = weights.bundle

    def versions(self) -> str:
        return _versions(Path(sys.executable), "clipdex", "onnxruntime", "faiss-cpu", peer=False)

    def index(self, photos: Path, store: Path) -> Command:
        given = ("--model", self.bundle, "--collection", store)
        return Command((COMMAND, "index", photos, *given))

    def write(self, vectors: Path, count: int, root: Path, store: Path) -> None:
        from indexer.bundles.bundle import Bundle

        mapped = np.load(vectors, mmap_mode="r")[:count]
        bundle = Bundle.load(self.bundle)
        make_collection(store, bundle, mapped, root=str(root), names=names(count))

    def search(self, store: Path, root: Path, text: str) -> Command:
        return Command((COMMAND, "search", text, "--collection", store))

    def warm(self, store: Path, root: Path, text: str) -> Command:
        script = INSIDE / "clipdex_queries.py"
        return Command((sys.executable, script, store, text, str(QUERIES)))

    def vectors(self, store: Path) -> NDArray[np.float32]:
        rows = _rows(
            store / "catalogue.sqlite3",
            "SELECT vector FROM embeddings JOIN files USING (content) ORDER BY path",
        )
        return _unit(np.frombuffer(b"".join(rows), "<f2").reshape(len(rows), -1))


class Rclip:
    """rclip's command; its data folder holds the store, and links to the weights."""

    name = "rclip"
    searches_warm = False

    def __init__(self, weights: Weights, work: Path) -> None:
        self.weights = weights.rclip
        self.python = python_of(RCLIP, work)

    def versions(self) -> str:
        return _versions(self.python, "rclip", "onnxruntime")

    def index(self, photos: Path, store: Path) -> Command:
        # Indexing is the first part of a search.
        return self._command(store, photos, self.python.parent / "rclip", "a photo")

    def write(self, vectors: Path, count: int, root: Path, store: Path) -> None:
        script = INSIDE / "rclip_write.py"
        run(self._command(store, root, self.python, script, vectors, str(count)))

    def search(self, store: Path, root: Path, text: str) -> Command:
        return self._command(store, root, self.python.parent / "rclip", "--no-indexing", text)

    def warm(self, store: Path, root: Path, text: str) -> Command:
        script = INSIDE / "rclip_queries.py"
        return self._command(store, root, self.python, script, text, str(QUERIES))

    def vectors(self, store: Path) -> NDArray[np.float32]:
        rows = _rows(store / "db.sqlite3", "SELECT vector FROM images ORDER BY filepath")
        return _unit(np.frombuffer(b"".join(rows), "<f4").reshape(len(rows), -1))

    def _command(self, store: Path, folder: Path, *argv: str | Path) -> Command:
        store.mkdir(parents=True, exist_ok=True)
        for part in self.weights.iterdir():
            link = store / part.name
            if not link.is_symlink():
                link.symlink_to(part)
        return Command(argv, folder, {"RCLIP_DATADIR": str(store), "PYTHONPATH": ""})


class ClipRetrieval:
    """clip-retrieval's commands, and for queries what its server loads and runs.

    A batch is 8 images, since with its default, 256, a folder of this size would be one
    batch: nothing would be decoded while the model runs.
    """

    name = "clip-retrieval"
    searches_warm = True

    def __init__(self, weights: Weights, work: Path) -> None:
        self.model = f"open_clip:{ARCHITECTURE}/{weights.checkpoint}"
        self.python = python_of(CLIP_RETRIEVAL, work)

    def versions(self) -> str:
        packages = ("clip-retrieval", "torch", "open_clip_torch", "faiss-cpu")
        return _versions(self.python, *packages)

    def index(self, photos: Path, store: Path) -> Command:
        from indexer.devices.cpu_count import available_cores

        given = {
            "input_dataset": photos,
            "output_folder": store,
            "enable_text": False,
            "clip_model": self.model,
            "batch_size": 8,
            "num_prepro_workers": available_cores(),
        }
        return self._command("inference", *(f"--{name}={value}" for name, value in given.items()))

    def write(self, vectors: Path, count: int, root: Path, store: Path) -> None:
        script = INSIDE / "clip_retrieval_write.py"
        run(self._python(script, vectors, str(count), root, store))
        run(
            self._command(
                "index", f"--embeddings_folder={store}", f"--index_folder={store / 'index'}"
            )
        )

    def search(self, store: Path, root: Path, text: str) -> Command:
        script = INSIDE / "clip_retrieval_queries.py"
        return self._python(script, store / "index", self.model, text, str(QUERIES), answers=True)

    def warm(self, store: Path, root: Path, text: str) -> Command:
        return self.search(store, root, text)

    def vectors(self, store: Path) -> NDArray[np.float32]:
        parts = sorted((store / "img_emb").glob("*.npy"))
        return _unit(np.concatenate([np.load(part) for part in parts]))

    def _command(self, *argv: str | Path) -> Command:
        command = self.python.parent / "clip-retrieval"
        return Command((command, *argv), variables={"PYTHONPATH": ""})

    def _python(self, *argv: str | Path, answers: bool = False) -> Command:
        return Command((self.python, *argv), variables={"PYTHONPATH": ""}, answers=answers)


def _rows(database: Path, query: str) -> list[bytes]:
    with sqlite3.connect(database) as connection:
        rows = [row[0] for row in connection.execute(query)]
    connection.close()
    return rows


@cache
def _versions(python: Path, *packages: str, peer: bool = True) -> str:
    variables = {"PYTHONPATH": ""} if peer else {}
    script = INSIDE / "versions.py"
    found = json.loads(run(Command((python, script, *packages), variables=variables)).output)
    return ", ".join(f"{name} {version}" for name, version in found.items())


def all_tools(weights: Weights, work: Path) -> Sequence[Tool]:
    """clipdex first."""
    return Clipdex(weights), Rclip(weights, work), ClipRetrieval(weights, work)
