"""Search results, for Python, JSON and tables."""

import os
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from indexer.store.clock import latest_believable
from indexer.store.paths import display, existing, is_url, path_fields

if TYPE_CHECKING:  # brings NumPy, which hits that come from a server do not need
    from indexer.store.records import Content

EPOCH = datetime(1970, 1, 1)
# Where a query's words may stand of which one names an image.
PLACES = ("tag", "name", "camera", "folder")
# Images of at least this relevance are called matches.
LIKELY = 0.5
# Where the best hit has less, nothing in the collection matches; up to the second, nothing is said
# to match, nor that nothing does. `benchmarks/relevance.py` measures how often they are wrong.
UNLIKELY = 0.3
CONFIDENT = 0.75


@dataclass(frozen=True)
class Hit:
    """One image found.

    Args:
        rank: Its place in the list, from 1.
        id: Its content's id, which is never reused.
        raw_paths: Absolute paths of the files with this content, the oldest entry first; those
            that are there, if any is.
        score: Cosine similarity of the query and the image.
        relevance: Estimated P(match) in [0, 1]; None when the model has no estimate.
        width: In pixels, upright.
        height: In pixels, upright.
        file_times: When each of the paths last changed, in nanoseconds since 1970 UTC.
        capture_seconds: When the photo was taken, if it says so: seconds of the wall clock there
            since 1970, as if that were UTC.
        capture_offset: Minutes by which that wall clock is east of UTC, if the photo says so.
        collapsed: The near-duplicates that this hit stands for; None when none were looked for.
        digest: The content's hash.
        found_by: What of it the query's words name: "tag", "name", "folder", "camera"; nothing
            where only what it shows was looked at.
    """

    rank: int
    id: int
    raw_paths: tuple[bytes, ...]
    score: float
    relevance: float | None
    width: int
    height: int
    file_times: tuple[int, ...] = ()
    capture_seconds: int | None = None
    capture_offset: int | None = None
    collapsed: "tuple[Hit, ...] | None" = None
    digest: bytes = b""
    found_by: tuple[str, ...] = ()

    @classmethod
    def of(cls, content: "Content", score: float, relevance: float | None, rank: int = 0) -> Self:
        """Return a hit at the paths where the content is now."""
        there = existing(content.paths)
        return cls(
            rank,
            content.id,
            tuple(content.paths[at] for at in there),
            score,
            relevance,
            content.width,
            content.height,
            tuple(content.file_times[at] for at in there),
            content.capture_seconds,
            content.capture_offset,
            digest=content.digest,
        )

    def ranked(self, rank: int) -> Self:
        """Return the hit with a rank, which it often has already."""
        return self if self.rank == rank else replace(self, rank=rank)

    def with_first(self, paths: Container[bytes]) -> Self:
        """Return the hit with these of its paths before the others."""
        order = sorted(range(len(self.raw_paths)), key=lambda at: self.raw_paths[at] not in paths)
        return replace(
            self,
            raw_paths=tuple(self.raw_paths[at] for at in order),
            file_times=tuple(self.file_times[at] for at in order),
        )

    @property
    def dated_by(self) -> Literal["image", "file"]:
        """Whether the image, or its name, says when it was taken, or only its file's time does."""
        believed = self.capture_seconds is not None and self.capture_seconds <= latest_believable()
        return "image" if believed else "file"

    @property
    def taken_at(self) -> str | None:
        """When the photo was taken, in ISO 8601.

        As the file says, with the offset if it says that too; otherwise, and where the file names
        a time to come, when the first path last changed, in this machine's time zone.
        """
        if self.capture_seconds is not None and self.dated_by == "image":
            zone = None
            if self.capture_offset is not None:
                zone = timezone(timedelta(minutes=self.capture_offset))
            moment = (EPOCH + timedelta(seconds=self.capture_seconds)).replace(tzinfo=zone)
        elif self.file_times:
            instant = EPOCH + timedelta(seconds=self.file_times[0] // 10**9)
            moment = instant.replace(tzinfo=UTC).astimezone()
        else:
            return None
        return moment.isoformat()

    @property
    def path(self) -> str:
        """The first path as text."""
        return display(self.raw_paths[0])

    @property
    def paths(self) -> list[str]:
        """All paths as text."""
        return [display(path) for path in self.raw_paths]

    @property
    def file(self) -> Path:
        """The first path, to open the file.

        Raises:
            ValueError: It is a URL, which `path` has.
        """
        if is_url(self.raw_paths[0]):
            raise ValueError(f"{self.path} is not a file of this machine")
        return Path(os.fsdecode(self.raw_paths[0]))

    @property
    def link(self) -> str | None:
        """What a browser or a terminal opens; None for what only its service's tools open."""
        first = self.raw_paths[0]
        if not is_url(first):
            return self.file.as_uri()
        if not first.startswith((b"http://", b"https://")):
            return None
        from urllib.parse import quote  # few collections have any

        # Neither control characters nor spaces get into a terminal's own command.
        return quote(first, safe="/:%@+,;=~")

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        fields: dict[str, Any] = {
            "rank": self.rank,
            "id": self.id,
            **path_fields(self.raw_paths[0]),
            "paths": self.paths,
            "score": round(self.score, 6),
            "relevance": self.relevance,
            "taken_at": self.taken_at,
            "width": self.width,
            "height": self.height,
        }
        if self.found_by:
            fields["found_by"] = list(self.found_by)
        if self.collapsed is not None:
            fields["collapsed"] = [
                {"id": hit.id, **path_fields(hit.raw_paths[0]), "paths": hit.paths}
                for hit in self.collapsed
            ]
        return fields


@dataclass(frozen=True)
class Results:
    """A page of hits, and how many images there are to find.

    Args:
        hits: The hits, best first.
        total: The images that pass the filter and the labels, whatever their relevance.
        total_matches: How many of them match: their relevance is LIKELY or more. None where nothing
            was looked for, or the model has no estimate.
        foreign_language: The code of the query's language, if it is not English and the model
            does not know it; see `search.language`.
        total_named: How many images the query's words name, by file, folder, tag or camera; None
            where names were not asked for.
    """

    hits: list[Hit]
    total: int
    total_matches: int | None = None
    foreign_language: str | None = None
    total_named: int | None = None
