"""What scans leave out: patterns by gitignore's rules, and paths that were forgotten.

The rules are those of gitignore, as the library `pathspec` has them, and more forgiving where a
private folder would be indexed by mistake: the case of letters and the encoding of accents do not
count, a pattern may begin with the folder that is indexed or be an absolute path, brackets also
mean themselves, and `{a,b}` stands for either.
"""

import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import ExclusionError, RootUnavailable
from indexer.sources.url import absolute
from indexer.store.paths import comparable, is_url
from indexer.store.records import SEPARATOR, inside, join
from indexer.store.rows import Exclusion

if TYPE_CHECKING:
    from pathspec import Pattern

EXCLUDE, FORGET = "exclude", "forget"
BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
SPECIAL = re.compile(r"([\\*?\[\]!#])")


def parse(text: str, folders: Sequence[Path | bytes]) -> list[Exclusion]:
    """Parse a pattern as a person types it.

    Args:
        text: The pattern.
        folders: The folders that are indexed; absolute, links followed, or URLs.

    Returns:
        Exclusions that together are what the pattern may mean; later ones win.

    Raises:
        ExclusionError: It is not a pattern, or it would exclude everything.
    """
    negated = text.startswith("!")
    body = text[1:] if negated else text
    body = body.replace(os.sep, "/") if os.sep != "/" else body
    while body.startswith("./"):
        body = body[2:]
    if not body.strip("/. ") or "\n" in body or "\0" in body:
        raise ExclusionError(
            f"{text!r} is not a pattern for --exclude: name a file or folder, or use gitignore's "
            "rules, such as Private/ or *.tmp"
        )
    found: dict[Exclusion, None] = {}
    for one in _without_braces(body):
        for base, pattern in _readings(one, folders):
            line = ("!" if negated else "") + pattern
            _compiled(line, text)
            found[Exclusion(base, os.fsencode(line), EXCLUDE)] = None
    return list(found)


class Exclusions:
    """What is left out below one root.

    Attributes:
        used: Those that left something out so far.
    """

    def __init__(self, root: bytes, rules: Iterable[Exclusion]) -> None:
        self.used: set[Exclusion] = set()
        self._forgotten: dict[str, Exclusion] = {}
        self._folders: dict[bytes, bool] = {}
        self._rules: list[tuple[str, Pattern, Exclusion]] = []
        for rule in rules:
            if rule.origin == FORGET:
                below = inside(root, rule.pattern)
                if below:
                    self._forgotten[comparable(below)] = rule
                continue
            line = os.fsdecode(rule.pattern)
            above = ""
            if rule.base and (below := inside(root, rule.base)):
                sign, line = ("!", line[1:]) if line.startswith("!") else ("", line)
                line = f"{sign}/{_literal(os.fsdecode(below))}/{line.lstrip('/')}"
            elif rule.base and (outer := inside(rule.base, root)):
                above = _folded(outer) + "/"
            elif rule.base and rule.base != root:
                continue
            self._rules.append((above, _compiled(line, line), rule))

    def __bool__(self) -> bool:
        return bool(self._rules or self._forgotten)

    def cover(self, path: bytes, *, folder: bool = False) -> bool:
        """Return whether a file or folder is left out; the folders above it are not asked.

        Args:
            path: Relative to the root.
            folder: Whether it is a folder.
        """
        if self._forgotten and (rule := self._forgotten.get(comparable(path))) is not None:
            self.used.add(rule)
            return True
        if not self._rules:
            return False
        text = _folded(path) + ("/" if folder else "")
        covered = False
        for above, pattern, rule in self._rules:
            if pattern.match_file(above + text) is not None:
                self.used.add(rule)
                covered = bool(pattern.include)
        return covered

    def cover_file(self, path: bytes) -> bool:
        """Return whether a file is left out, or a folder that it lies in."""
        return self._cover_folder(os.path.dirname(path)) or self.cover(path)

    def cover_any(self, path: bytes) -> bool:
        """Return as `cover_file` does, for a path that may be a file's or a folder's."""
        return self.cover_file(path) or self.cover(path, folder=True)

    def _cover_folder(self, folder: bytes) -> bool:
        """Return whether a folder is left out, or one that it lies in; files share folders."""
        if not folder:
            return False
        if folder not in self._folders:
            above = os.path.dirname(folder)
            self._folders[folder] = self._cover_folder(above) or self.cover(folder, folder=True)
        return self._folders[folder]


class Rules:
    """All exclusions of a collection, to be asked for those that concern a root."""

    def __init__(self, rules: Iterable[Exclusion]) -> None:
        self._by_place: dict[bytes, list[tuple[int, Exclusion]]] = {}
        for number, rule in enumerate(rules):
            place = rule.pattern if rule.origin == FORGET else rule.base
            self._by_place.setdefault(place, []).append((number, rule))
        self._places = sorted(self._by_place)

    def of(self, root: bytes) -> Exclusions:
        """Return what is left out below a root."""
        concerned = list(self._by_place.get(b"", ()))
        place = root
        while True:
            concerned += self._by_place.get(place, ())
            above = os.path.dirname(place)
            if above == place:
                break
            place = above
        prefix = root.rstrip(SEPARATOR) + SEPARATOR
        for place in self._places[bisect_left(self._places, prefix) :]:
            if not place.startswith(prefix):
                break
            if place != root:  # of the file system's own root
                concerned += self._by_place[place]
        return Exclusions(root, [rule for _, rule in sorted(concerned, key=lambda one: one[0])])


def moved(rules: Iterable[Exclusion], before: bytes, after: bytes) -> list[Exclusion]:
    """Return exclusions as they are once a folder lies at another path."""
    found = []
    for rule in rules:
        place = rule.pattern if rule.origin == FORGET else rule.base
        below = inside(before, place) if place else None
        if below is not None:
            place = join(after, below)
            rule = (
                replace(rule, pattern=place) if rule.origin == FORGET else replace(rule, base=place)
            )
        found.append(rule)
    return found


def _without_braces(text: str) -> list[str]:
    """Return a pattern as it stands, or once for each choice that its braces offer."""
    found = BRACES.search(text)
    if found is None:
        return [text]
    choices = [text[: found.start()] + one + text[found.end() :] for one in found[1].split(",")]
    return [done for choice in choices for done in _without_braces(choice)]


def _readings(text: str, folders: Sequence[Path | bytes]) -> Iterable[tuple[bytes, str]]:
    """Yield (base, gitignore pattern) of each way to read a pattern without braces."""
    texts = [text]
    if "[" in text and not re.search(r"[*?\\]", text):
        texts.append(_literal(text))
    for one in texts:
        if one.startswith("#"):
            one = "\\" + one
        if "/" not in one.rstrip("/") or one.startswith("**/"):
            yield b"", one
            continue
        end = "/" if one.endswith("/") else ""
        typed = os.path.expanduser(one)
        whole = is_url(os.fsencode(one)) or os.path.isabs(one)
        try:
            paths = {absolute(typed), absolute(typed, followed=False)}
        except RootUnavailable as exc:
            raise ExclusionError(str(exc)) from exc
        for folder in folders:
            base = os.fsencode(folder)
            found = {inside(base, path) for path in paths} - {None, b""}
            for below in found:
                yield base, "/" + os.fsdecode(below or b"").replace(os.sep, "/") + end
            if (found and whole) or is_url(os.fsencode(one)):
                continue  # and not a path below the folder besides
            yield base, "/" + one.lstrip("/")
            first, _, rest = one.partition("/")
            if rest and comparable(os.fsencode(first)) == comparable(os.path.basename(base)):
                yield base, "/" + rest


def _compiled(line: str, typed: str) -> "Pattern":
    from pathspec import PathSpec

    try:
        pattern, *_ = PathSpec.from_lines("gitignore", [_folded(os.fsencode(line))]).patterns
    except (ValueError, re.error) as exc:
        raise ExclusionError(
            f"{typed!r} is not a pattern for --exclude ({exc}): gitignore's rules apply, such as "
            "Private/ or *.tmp"
        ) from exc
    return pattern


def _folded(path: bytes) -> str:
    """Return a path as text without case, with forward slashes."""
    text = comparable(path).lower()
    return text.replace(os.sep, "/") if os.sep != "/" else text


def _literal(text: str) -> str:
    """Return a gitignore pattern that means a text itself."""
    return SPECIAL.sub(r"\\\1", text)
