"""Plans which sidecar each photo gets and what is written into it."""

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from indexer.errors import SidecarError
from indexer.images.formats import is_image_name
from indexer.store.paths import display, is_url

from .files import Kept, read, reason_of
from .reports import Skipped
from .tags import Tag, checked
from .xmp import merge

Naming = Literal["full", "stem"]
"""photo.jpg.xmp, as in digiKam and darktable, or photo.xmp, as in Lightroom and Adobe."""
Tags = Mapping[Path | bytes, Sequence[Tag]]


@dataclass(frozen=True)
class Change:
    """A photo's sidecar as it is, None if there is none, and as it should be."""

    photo: bytes
    sidecar: bytes
    before: Kept | None
    after: bytes

    @property
    def needed(self) -> bool:
        """Whether there is anything to write."""
        return self.before is None or self.before.data != self.after


class Planner:
    """Photos and their tags, by absolute paths with the links of their folders resolved.

    Raises:
        TagError: A tag cannot be written.
    """

    def __init__(self, tags: Tags, naming: Naming) -> None:
        self.naming = naming
        self.tags: dict[bytes, list[Tag]] = {}
        for given, wanted in tags.items():
            path = os.fsencode(given).rstrip(b"/")
            if not is_url(path):
                folder, name = os.path.split(path)
                path = os.path.join(os.path.realpath(folder or b"."), name)
            self.tags[path] = checked([*self.tags.get(path, []), *wanted])
        self._photos: dict[bytes, list[bytes]] = defaultdict(list)
        for photo in self.tags:
            self._photos[os.path.dirname(photo)].append(photo)
        self._claims: dict[bytes, Counter[bytes]] = {}

    def change(self, photo: bytes) -> Change | Skipped:
        """Return the change of a photo's sidecar; the photo is one of `tags`."""
        try:
            if is_url(photo):
                raise SidecarError("not on a drive, so that nothing is written beside it")
            if not stat.S_ISREG(os.stat(photo).st_mode):
                raise SidecarError("not a file")
            if not self.tags[photo]:
                raise SidecarError("no tags for it")
            sidecar = self._sidecar(photo)
            before = read(sidecar)
            for needed in (os.path.dirname(sidecar), sidecar)[: 1 if before is None else 2]:
                if not os.access(needed, os.W_OK):
                    raise SidecarError(f"{display(needed)!r} is not writable for this user")
            after = merge(None if before is None else before.data, self.tags[photo])
            return Change(photo, sidecar, before, after)
        except FileNotFoundError:
            return Skipped(photo, "the photo is gone")
        except (SidecarError, OSError) as exc:
            return Skipped(photo, reason_of(exc))

    def _sidecar(self, photo: bytes) -> bytes:
        full, stem = names(photo)
        shared = full != stem and self._shared(stem)
        asked, other = (full, stem) if self.naming == "full" else (stem, full)
        found = next((name for name in (asked, other) if os.path.lexists(name)), asked)
        if found == stem and shared:
            if self.naming == "full":
                return full  # the other one may belong to another photo
            raise SidecarError(
                f"{display(os.path.basename(stem))!r} would be another photo's sidecar too. "
                "Use the full naming"
            )
        return found

    def _shared(self, stem: bytes) -> bool:
        """Return whether a sidecar could belong to several photos of its folder."""
        folder = os.path.dirname(stem)
        if folder not in self._claims:
            there = {os.path.join(folder, n) for n in os.listdir(folder) if is_image_name(n)}
            self._claims[folder] = Counter(
                name for photo in there.union(self._photos[folder]) for name in set(names(photo))
            )
        return self._claims[folder][stem] > 1


def names(photo: bytes) -> tuple[bytes, bytes]:
    """Return a photo's sidecars by both namings, full and stem."""
    return photo + b".xmp", os.path.splitext(photo)[0] + b".xmp"


def plan(tags: Tags, *, naming: Naming = "full") -> Iterator[Change | Skipped]:
    """Return what `write` would do for each photo, without writing.

    Raises:
        TagError: A sidecar cannot hold a tag.
    """
    planner = Planner(tags, naming)
    return map(planner.change, planner.tags)
