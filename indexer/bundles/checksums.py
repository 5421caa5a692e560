"""Checks that a bundle's files are those that were written.

A file is read once: what it hashed to is remembered in `$CLIPDEX_CACHE/checked` with its size, its
times and its inode, and believed until one of them changes. Where that folder cannot be written,
files are read each time. `clipdex models verify` always reads them.
"""

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from indexer.errors import BundleError, ClipdexError
from indexer.json_files import Fields, read_json
from indexer.model_name import BUILT_INS

from .bundle import DIGEST, Bundle
from .cache import cache_folder

# A file that changed in the last second may change again without its times telling.
SETTLED_NS = 10**9


def digests(bundle: Bundle, names: Iterable[str] | None = None) -> dict[str, str]:
    """Return the BLAKE3 digest of each file of a bundle, or of those named, by its name."""
    return {name: _digest(bundle.folder / name) for name in names or bundle.files}


def damaged_files(bundle: Bundle) -> list[str]:
    """Return the names of files that differ from their checksum in the manifest."""
    return _differing(bundle, digests(bundle))


def require_intact(bundle: Bundle, *names: str) -> dict[str, str]:
    """Check files of a bundle, unless they were checked before and have not changed since.

    Args:
        bundle: The bundle.
        names: The files; those without a checksum, in a bundle of an earlier version, pass.

    Returns:
        Their digests.

    Raises:
        BundleError: One differs from its checksum, or cannot be read.
    """
    try:
        found = Remembered.of(bundle).digests_of(bundle, names)
    except OSError as exc:
        raise BundleError(f"the model {bundle.name}: {exc}") from exc
    if damaged := _differing(bundle, found):
        again = (
            "install clipdex again"
            if bundle.folder in BUILT_INS.values()
            else f"remove {bundle.folder} and compile the model again"
        )
        raise BundleError(
            f"the model {bundle.name} is damaged: {', '.join(damaged)} in {bundle.folder} "
            f"differ{'s' if len(damaged) == 1 else ''} from what was compiled: {again}"
        )
    return found


@dataclass
class Remembered:
    """What is remembered of the files of one bundle.

    Attributes:
        file: Where; None if nothing can be remembered.
        files: By name, what a file looked like (`_stamp`) and its digest.
        tried: For a graph, the key of what it was last tried with.
    """

    file: Path | None
    files: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    tried: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle) -> "Remembered":
        """Return what is remembered of a bundle: nothing, where that is missing or damaged."""
        from blake3 import blake3  # `hashlib` takes longer to import, for OpenSSL

        try:
            folder = cache_folder() / "checked"
        except ClipdexError:  # the user has no home folder
            return cls(None)
        name = blake3(os.fsencode(os.path.abspath(bundle.folder))).hexdigest(length=16)
        file = folder / f"{name}.json"
        try:
            return cls._read(file, _stamp(file))
        except OSError:
            return cls(file)

    @classmethod
    @lru_cache(maxsize=8)  # a search asks three times
    def _read(cls, file: Path, _: tuple[int, ...]) -> "Remembered":
        try:
            fields = Fields(read_json(file))
            entries, tried = fields.fields("files"), fields.fields("tried")
            files = {}
            for name in entries:
                entry = entries.fields(name)
                stamp = entry.integers("stamp", 4, -(2**63), 2**64)
                files[name] = stamp, entry.text("digest", pattern=DIGEST)
            return cls(file, files, {name: tried.text(name) for name in tried})
        except (OSError, ValueError):
            return cls(file)

    def digests_of(self, bundle: Bundle, names: Iterable[str]) -> dict[str, str]:
        """Return files' digests, which are computed for those that have changed.

        Raises:
            OSError: A file cannot be read.
        """
        found = {}
        changed = False
        for name in names:
            stamp = _stamp(bundle.folder / name)
            known = self.files.get(name)
            if known is None or known[0] != stamp:
                known = stamp, _digest(bundle.folder / name)
                settled = time.time_ns() - max(stamp[1:3]) > SETTLED_NS
                if settled and _stamp(bundle.folder / name) == stamp:
                    self.files[name], changed = known, True
            found[name] = known[1]
        if changed:
            self.save()
        return found

    def save(self) -> None:
        """Write what is remembered, or go on without."""
        if self.file is None:
            return
        value = {
            "files": {
                name: {"stamp": stamp, "digest": digest}
                for name, (stamp, digest) in self.files.items()
            },
            "tried": self.tried,
        }
        import tempfile

        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(".new", dir=self.file.parent)
            try:
                with os.fdopen(handle, "w") as stream:
                    json.dump(value, stream)
                os.replace(beside, self.file)
            except BaseException:
                os.unlink(beside)
                raise


def _differing(bundle: Bundle, found: dict[str, str]) -> list[str]:
    return [name for name, one in found.items() if bundle.checksums.get(name, one) != one]


def _stamp(file: Path) -> tuple[int, ...]:
    """Return what changes with a file: also the time of its last change of any kind."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(file: Path) -> str:
    from blake3 import blake3

    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(file)
    return hasher.hexdigest()
