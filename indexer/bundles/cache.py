"""Compiled models on disk: `$CLIPDEX_CACHE`, else the user's cache folder.

models/<fingerprint>/        a bundle, made beside and renamed into place
models/names/<hash>.json     which model's name gave which fingerprint, from which files
downloads/                   files on their way from a hub
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from blake3 import blake3

from indexer.errors import BundleError, CompileError

from .bundle import Bundle
from .names import CONFIG, MANIFEST, ModelName

ENVIRONMENT = "CLIPDEX_CACHE"
# What belongs to a checkpoint in open_clip's layout: weights, configuration, tokenizer.
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".json", ".model", ".txt")

Stamp = list[tuple[str, int, int]]
"""(file, size in bytes, mtime_ns) of each file that a local model is made of; empty for others."""


@dataclass(frozen=True)
class Record:
    """What a name was compiled to. arch: of a checkpoint file. source: a spelling of what an
    added model was compiled from, the name itself for others.
    """

    name: str
    fingerprint: str
    source: str
    arch: str | None
    stamp: Stamp


def cache_folder() -> Path:
    """`$CLIPDEX_CACHE`, else the user's cache folder."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("clipdex", appauthor=False)


def models_folder() -> Path:
    """Where bundles are kept."""
    return cache_folder() / "models"


def stamp(model_name: ModelName) -> Stamp:
    """The files of a local checkpoint as they are now; a change of any compiles it again."""
    if model_name.path is None:
        return []
    files = [model_name.path]
    if model_name.kind == "folder":
        files = sorted(file for file in model_name.path.iterdir() if file.suffix in SUFFIXES)
        assert any(file.name == CONFIG for file in files)
    metadata = [(file.name, file.stat()) for file in files]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in metadata]


def read_record(name: str) -> Record | None:
    """What `name` was compiled to, if it was."""
    try:
        metadata = json.loads(_record_file(name).read_text(encoding="utf-8"))
        metadata["stamp"] = [tuple(entry) for entry in metadata["stamp"]]
        return Record(**metadata)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(record: Record) -> None:
    """Remember what a name was compiled to."""
    file = _record_file(record.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(f".{os.getpid()}.new")
    beside.write_text(json.dumps(asdict(record), ensure_ascii=False), encoding="utf-8")
    os.replace(beside, file)


def records() -> list[Record]:
    """All names that were compiled, sorted."""
    files = (models_folder() / "names").glob("*.json")
    found = (_name_in(file) for file in files)
    known = (read_record(name) for name in found if name)
    return sorted((record for record in known if record), key=lambda record: record.name)


def find(model_name: ModelName) -> Bundle | None:
    """The bundle that a name was compiled to, unless its files have changed since."""
    record = read_record(model_name.name)
    if record is None or (model_name.arch and record.arch and model_name.arch != record.arch):
        return None
    if model_name.kind in ("folder", "checkpoint") and record.stamp != stamp(model_name):
        return None
    bundle = find_fingerprint(record.fingerprint)
    return replace(bundle, name=model_name.name) if bundle else None


def find_fingerprint(fingerprint: str) -> Bundle | None:
    """The bundle of that fingerprint, if it is here and whole."""
    folder = models_folder() / fingerprint
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return Bundle.load(folder)
    except BundleError:
        return None  # an older format, or cut: it is made again


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Hold the lock under which `name` is compiled; others wait, and find it done."""
    from filelock import FileLock

    folder = models_folder() / "names"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_record_file(name).with_suffix(".lock"))
        lock.acquire()
    except OSError as exc:
        raise CompileError(
            f"cannot keep compiled models in {models_folder()}: {exc.strerror or exc}. Name a "
            f"writable place with ${ENVIRONMENT}"
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _record_file(name: str) -> Path:
    return models_folder() / "names" / f"{blake3(name.encode()).hexdigest(length=16)}.json"


def _name_in(file: Path) -> str | None:
    try:
        name = json.loads(file.read_text(encoding="utf-8"))["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(name)
