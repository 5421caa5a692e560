"""Search results, as Python, JSON and tables see them."""

import os
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from indexer.store.paths import display, path_fields

if TYPE_CHECKING:  # brings NumPy, which hits that come from a server do not need
    from indexer.store.records import Content

EPOCH = datetime(1970, 1, 1)
# Hits of at least this relevance are called matches.
LIKELY = 0.5


@dataclass(frozen=True)
class Hit:
    """One image found.

    id: its content's, never reused. raw_paths: absolute, every file that holds it, oldest entry
    first. score: cosine of the query and the image. relevance: estimated P(match) in [0, 1],
    None where the model carries no estimate. width, height: in pixels, upright. file_times: of the
    paths, when each last changed, in nanoseconds since 1970 UTC. capture_seconds, capture_offset:
    when the photo was taken, where it says so: seconds of that place's wall clock since 1970 as if
    that were UTC, and its minutes east of UTC. collapsed: the near-duplicates that this hit stands
    for; None where none were looked for.
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

    @classmethod
    def of(cls, content: "Content", score: float, relevance: float | None) -> Self:
        """A hit that has no rank yet."""
        return cls(
            0,
            content.id,
            content.paths,
            score,
            relevance,
            content.width,
            content.height,
            content.file_times,
            content.capture_seconds,
            content.capture_offset,
        )

    def ranked(self, rank: int) -> Self:
        """The same hit at this place of a list."""
        return replace(self, rank=rank)

    def with_first(self, paths: Container[bytes]) -> Self:
        """The same hit, these of its paths before the others."""
        order = sorted(range(len(self.raw_paths)), key=lambda at: self.raw_paths[at] not in paths)
        return replace(
            self,
            raw_paths=tuple(self.raw_paths[at] for at in order),
            file_times=tuple(self.file_times[at] for at in order),
        )

    @property
    def taken_at(self) -> str | None:
        """When the photo was taken, ISO 8601: as the file says, with the offset where it says that
        too; else the first path's time of change, in this machine's zone.
        """
        if self.capture_seconds is not None:
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
        """The first path, for people."""
        return display(self.raw_paths[0])

    @property
    def paths(self) -> list[str]:
        """All paths, for people."""
        return [display(path) for path in self.raw_paths]

    @property
    def file(self) -> Path:
        """The first path, for opening."""
        return Path(os.fsdecode(self.raw_paths[0]))

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        metadata: dict[str, Any] = {
            "rank": self.rank,
            "id": self.id,
            **path_fields(self.raw_paths[0]),
            "paths": self.paths,
            "score": round(self.score, 6),
            "relevance": self.relevance,
        }
        if self.collapsed is not None:
            metadata["collapsed"] = [
                {"id": hit.id, **path_fields(hit.raw_paths[0]), "paths": hit.paths}
                for hit in self.collapsed
            ]
        return metadata
