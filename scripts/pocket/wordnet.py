"""Read WordNet's own files: what is needed of nouns, verbs and adjectives."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .fetch import folder
from .sources import SOURCES


@dataclass(frozen=True)
class Synset:
    """A sense: its lemmas, commonest first, its gloss and its examples."""

    lemmas: tuple[str, ...]
    gloss: str
    examples: tuple[str, ...]


class WordNet:
    """WordNet 3.0 as Debian's wordnet-base lays it out."""

    def __init__(self) -> None:
        (source,) = (one for one in SOURCES if one.name == "wordnet")
        self._root = folder(source) / "usr" / "share" / "wordnet"

    def lemmas(self, wnid: str) -> tuple[str, ...]:
        """Return the words of a noun's synset as ImageNet names it: n and the offset."""
        found = self._nouns.get(int(wnid[1:]))
        return found.lemmas if found else ()

    def synsets(self, part: str) -> Iterator[Synset]:
        """Yield the synsets of "noun", "verb" or "adj"."""
        for _, synset in self._read(part):
            yield synset

    @cached_property
    def _nouns(self) -> dict[int, Synset]:
        return dict(self._read("noun"))

    def _read(self, part: str) -> Iterator[tuple[int, Synset]]:
        with (self._root / f"data.{part}").open(encoding="latin-1") as lines:
            for line in lines:
                if line.startswith("  "):
                    continue
                data, _, about = line.partition(" | ")
                fields = data.split()
                count = int(fields[3], 16)
                words = fields[4 : 4 + 2 * count : 2]
                lemmas = tuple(re.sub(r"\(.*\)", "", word).replace("_", " ") for word in words)
                quoted = tuple(re.findall(r'"([^"]+)"', about))
                gloss = about.split('; "')[0].strip()
                yield int(fields[0]), Synset(lemmas, gloss, quoted)
