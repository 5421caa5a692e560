"""The cache of compiled models, in `$CLIPDEX_CACHE` or the user's cache folder.

models/<fingerprint>/        a bundle, written beside and renamed into place
models/names/<hash>.json     the fingerprint that a model name led to, and from which files
downloads/                   files that are being downloaded from a hub
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from indexer.errors import BundleError, CompileError
from indexer.json_files import Fields, read_json
from indexer.model_name import CONFIG, MANIFEST, ModelName
from indexer.user_folders import CACHE as CACHE
from indexer.user_folders import cache_folder as cache_folder

from .bundle import HEX, Bundle

# The files of a checkpoint in open_clip's layout: weights, configuration, tokenizer.
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".json", ".model", ".txt")

Stamp = list[tuple[str, int, int]]
"""(file, size in bytes, mtime_ns) of each file of a local model; empty for others."""


@dataclass(frozen=True)
class Record:
    """What a name was compiled to.

    Attributes:
        name: The model name.
        fingerprint: Of the bundle.
        source: The model name that an added model was compiled from; `name` for others.
        arch: The architecture of a checkpoint file.
        stamp: The files as they were.
    """

    name: str
    fingerprint: str
    source: str
    arch: str | None
    stamp: Stamp


def models_folder() -> Path:
    """Return the folder of the bundles."""
    return cache_folder() / "models"


def stamp(model_name: ModelName) -> Stamp:
    """Return the files of a local checkpoint as they are now; if one changes, it is recompiled."""
    if model_name.path is None:
        return []
    files = [model_name.path]
    if model_name.kind == "export":
        below = [(name, file.stat()) for name, file in files_below(model_name.path).items()]
        return [(name, status.st_size, status.st_mtime_ns) for name, status in below]
    if model_name.kind == "folder":
        files = sorted(file for file in model_name.path.iterdir() if file.suffix in SUFFIXES)
        assert any(file.name == CONFIG for file in files)
    statuses = [(file.name, file.stat()) for file in files]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in statuses]


def files_below(folder: Path) -> dict[str, Path]:
    """Return the files of a folder with an exported model, by their paths in it with "/"."""
    files = (file for pattern in ("*", "*/*", "*/*/*") for file in folder.glob(pattern))
    return {file.relative_to(folder).as_posix(): file for file in sorted(files) if file.is_file()}


def read_record(name: str) -> Record | None:
    """Return what a name was compiled to; None if it was not."""
    try:
        return _record(Fields(read_json(_record_file(name))))
    except (OSError, ValueError):
        return None


def _record(fields: Fields) -> Record:
    """Return the record in a file; raise ValueError if it is not one."""
    stamp: Stamp = []
    for entry in fields.items("stamp"):
        if not isinstance(entry, list) or list(map(type, entry)) != [str, int, int]:
            raise ValueError("'stamp' does not list files")
        stamp.append((entry[0], entry[1], entry[2]))
    return Record(
        name=fields.text("name"),
        fingerprint=fields.text("fingerprint", pattern=HEX),
        source=fields.text("source"),
        arch=fields.text("arch", None),
        stamp=stamp,
    )


def write_record(record: Record) -> None:
    """Store what a name was compiled to."""
    file = _record_file(record.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(f".{os.getpid()}.new")
    beside.write_text(json.dumps(asdict(record), ensure_ascii=False), encoding="utf-8")
    os.replace(beside, file)


def records() -> list[Record]:
    """Return the records of all compiled models, sorted by name."""
    files = (models_folder() / "names").glob("*.json")
    found = (_name_in(file) for file in files)
    known = (read_record(name) for name in found if name)
    return sorted((record for record in known if record), key=lambda record: record.name)


def find(model_name: ModelName) -> Bundle | None:
    """Return the bundle that a name was compiled to; None if its files have changed since."""
    record = read_record(model_name.name)
    if record is None or (model_name.arch and record.arch and model_name.arch != record.arch):
        return None
    if model_name.path is not None and record.stamp != stamp(model_name):
        return None
    bundle = find_fingerprint(record.fingerprint)
    return replace(bundle, name=model_name.name) if bundle else None


def find_fingerprint(fingerprint: str) -> Bundle | None:
    """Return the bundle of a fingerprint; None if it is missing or incomplete."""
    if not HEX.fullmatch(fingerprint):
        return None
    folder = models_folder() / fingerprint
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return Bundle.load(folder)
    except BundleError:
        return None  # incomplete or of an older format, so it is compiled again


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Hold the lock under which a name is compiled; others wait, and then find it done.

    Raises:
        CompileError: The cache cannot be written.
    """
    from filelock import FileLock

    folder = models_folder() / "names"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_record_file(name).with_suffix(".lock"))
        lock.acquire()
    except OSError as exc:
        raise CompileError(
            f"cannot store compiled models in {models_folder()}: {exc.strerror or exc}. Set "
            f"${CACHE} to a writable folder"
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _record_file(name: str) -> Path:
    from blake3 import blake3

    return models_folder() / "names" / f"{blake3(name.encode()).hexdigest(length=16)}.json"


def _name_in(file: Path) -> str | None:
    try:
        return Fields(read_json(file)).text("name")
    except (OSError, ValueError):
        return None
