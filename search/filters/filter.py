"""Filters: which images a search may return, by folder, date, name, tag and camera.

An image passes if one of its files meets every condition. Its date is what the file says (EXIF,
XMP), or otherwise the file's modification time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from indexer.arguments import several, valid_text
from indexer.errors import QueryError
from indexer.scan.exclusions import Exclusions, parse
from indexer.store.records import FileConditions, Moment, Words, join
from search.tags import checked_tag

from . import dates
from .cameras import contents_by_camera
from .folders import scopes_of

if TYPE_CHECKING:  # these load NumPy, which a request to a running server does not need
    from indexer.store.codec import Ids
    from indexer.store.protocol import StoreReader


@dataclass(frozen=True)
class Filter:
    """The conditions that an image has to meet.

    A date without a zone is compared with the wall clock of the place where the photo was taken. A
    date with a zone is compared with the instant; photos of unknown zone, and modification times,
    count as being in this machine's zone.

    Attributes:
        folders: The image lies in one of these: paths, or names of folders (`folders.scopes_of`);
            one or several.
        since: A date in one of the forms of `dates.ACCEPTED`.
        until: Likewise; includes all of the day, month or year that it names.
        tags: Labels that the user gave, all of which the image has; one or several. Images that the
            user hides pass only where "hidden" is among them.
        exclude: Patterns of files and folders by gitignore's rules, as for indexing; one or
            several.
        among: More conditions, each as the content ids `(n,)` that pass.
        before: A date, before the first moment of which the image was taken; as `since`.
        names: Beginnings of words that the file's name has one after the other, in any case and
            with any accents; one or several.
        below: Likewise, in the folders above the file.
        cameras: Likewise, in the names of the camera's body and lens.
        on: A day of the year, as `07-14` or `today`, on which the image was taken in any year.
        unless: Filters none of which an image passes.

    Raises:
        QueryError: `since` or `until` is not a date, or they are the wrong way round; or a tag is
            empty or has control characters.
        ExclusionError: One of `exclude` is not a pattern.
    """

    folders: Sequence[Path | str] = ()
    since: str | None = None
    until: str | None = None
    exclude: Sequence[str] = ()
    among: "Sequence[Ids]" = field(default=(), compare=False)
    tags: Sequence[str] = ()
    before: str | None = None
    names: Sequence[str] = ()
    below: Sequence[str] = ()
    cameras: Sequence[str] = ()
    on: str | None = None
    unless: "Sequence[Filter]" = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "folders", several(self.folders))
        object.__setattr__(self, "exclude", several(self.exclude))
        for name in ("names", "below", "cameras"):
            object.__setattr__(self, name, tuple(map(valid_text, several(getattr(self, name)))))
        object.__setattr__(self, "unless", tuple(self.unless))
        object.__setattr__(self, "tags", tuple(map(checked_tag, several(self.tags))))
        if self.on is not None:
            dates.day_of_year(self.on)
        since, until = self._moments()
        if since and until and since.wall >= until.wall and since.instant >= until.instant:
            raise QueryError(
                f"the dates are the wrong way round: {self.since} comes after "
                f"{self.until or self.before}"
            )
        for pattern in self.exclude:
            parse(pattern, ())

    def __bool__(self) -> bool:
        contents = self.tags or self.cameras or self.on or self.unless or len(self.among)
        return bool(self._about_files or contents)

    @property
    def _about_files(self) -> bool:
        """Whether files have to meet conditions."""
        dated = self.since or self.until or self.before
        return bool(self.folders or dated or self.exclude or self.names or self.below)

    def within(self, *, since: str | None = None, before: str | None = None) -> Self:
        """Return the filter with these dates, where they are the narrower ones.

        Raises:
            QueryError: One is not a date, or they are the wrong way round.
        """
        froms = [date for date in (self.since, since) if date is not None]
        ends = [date for date in (self.before, before) if date is not None]
        return replace(
            self,
            since=max(froms, key=lambda date: dates.since(date).instant, default=None),
            before=min(ends, key=lambda date: dates.since(date).instant, default=None),
        )

    def ids(self, catalog: "StoreReader") -> "Ids":
        """Return the contents that pass, `(n,)` ascending.

        Raises:
            QueryError: A folder holds no image of the collection.
        """
        import numpy as np

        more = [*map(catalog.contents_with_own_label, self.tags), *self.among]
        if self.cameras:
            more += [contents_by_camera(catalog, words) for words in self.cameras]
        if self.on is not None:
            more.append(_taken_on(catalog, *dates.day_of_year(self.on)))
        conditions = self._conditions(catalog)
        passing: Iterable[int]
        if self.exclude:
            left_out = self._left_out(catalog)
            passing = (
                content
                for content, root, path in catalog.files_meeting(conditions)
                if not left_out(root, path)
            )
        elif more and not self._about_files:
            passing = more.pop(0)  # not every file of the collection
        else:
            passing = catalog.contents_meeting(conditions)
        found = np.unique(np.fromiter(passing, dtype=np.int64))
        for one in more:
            found = np.intersect1d(found, one)
        for other in self.unless:
            found = np.setdiff1d(found, other.ids(catalog))
        return found

    def paths(self, catalog: "StoreReader", ids: Sequence[int]) -> dict[int, set[bytes]]:
        """Return, for each of a few contents, the absolute paths of its files that pass."""
        conditions, left_out = self._conditions(catalog), self._left_out(catalog)
        roots = catalog.roots()
        found: dict[int, set[bytes]] = {}
        for number in ids:
            for content, root, path in catalog.files_meeting(conditions, number):
                if not left_out(root, path):
                    found.setdefault(content, set()).add(join(roots[root], path))
        return found

    def _conditions(self, catalog: "StoreReader") -> FileConditions:
        since, until = self._moments()
        scopes = [scope for folder in self.folders for scope in scopes_of(catalog, folder)]
        words = [
            *(Words(text, "name") for text in self.names),
            *(Words(text, "folder") for text in self.below),
        ]
        return FileConditions(scopes, since, until, words)

    def _moments(self) -> tuple[Moment | None, Moment | None]:
        ends = []
        if self.until is not None:
            ends.append(dates.until(self.until))
        if self.before is not None:
            ends.append(dates.since(self.before))
        return (
            dates.since(self.since) if self.since is not None else None,
            min(ends, key=lambda end: end.instant, default=None),
        )

    def _left_out(self, catalog: "StoreReader") -> Callable[[int, bytes], bool]:
        """Return whether a file is left out, by its root and path; each root is prepared once."""
        roots = catalog.roots()

        @cache
        def of(root: int) -> Exclusions:
            rules = [rule for pattern in self.exclude for rule in parse(pattern, [roots[root]])]
            return Exclusions(roots[root], rules)

        return lambda root, path: of(root).cover_file(path)


def _taken_on(catalog: "StoreReader", month: int, day: int) -> "Ids":
    """Return the contents, `(n,)` ascending, taken on a day of any year."""
    import numpy as np

    ids, seconds = catalog.dated()
    days = seconds.astype("M8[s]").astype("M8[D]")
    months = days.astype("M8[M]")
    same = (months.astype(np.int64) % 12 == month - 1) & (
        (days - months.astype("M8[D]")).astype(np.int64) == day - 1
    )
    found: Ids = np.sort(ids[same])
    return found
