"""Byte-pair encoding of text, with the same token ids as open_clip's tokenizer.

Cleaning is done in Python, as in open_clip, since Python and Rust differ on `lower`.

Source: open_clip `tokenizer.py` (`basic_clean`, `whitespace_clean`, `canonicalize_text`).
"""

import string
import sys
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, pre_tokenizers

from indexer.errors import QueryError

TokenIds = NDArray[np.int64]
"""`(n, length)`, each row one text, padded on the right."""

# A word, as open_clip's `SimpleTokenizer` splits text; cleaning decides on the case.
WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)"
END_OF_WORD = "</w>"
NEVER = sys.maxsize
# In bytes of UTF-8. Merging as many takes two seconds.
MAX_WORD = 500_000
# How many short words' ids are kept: most words of a query have come before.
MAX_KEPT, MAX_KEPT_LETTERS = 4096, 32

PUNCTUATION = str.maketrans("", "", string.punctuation)


def clean_lower(text: str) -> str:
    """Repair and unescape a text, collapse white space, and convert it to lower case."""
    return clean_whitespace(text).lower()


def clean_whitespace(text: str) -> str:
    """Repair and unescape a text, and collapse white space."""
    return " ".join(_basic_clean(text).split())


def clean_canonicalize(text: str) -> str:
    """Repair and unescape a text, remove punctuation, collapse white space, and lower the case."""
    plain = _basic_clean(text).replace("_", " ").translate(PUNCTUATION)
    return " ".join(plain.lower().split())


def clean_none(text: str) -> str:
    """Return a text as it is, but for lone surrogates, which no tokenizer can encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


CLEANERS: dict[str, Callable[[str], str]] = {
    "lower": clean_lower,
    "whitespace": clean_whitespace,
    "canonicalize": clean_canonicalize,
    "none": clean_none,
}


def _basic_clean(text: str) -> str:
    text = clean_none(text)  # text from a command line may hold lone surrogates
    if not (text.isascii() and text.isprintable()) or "&" in text:
        import html  # only where needed: the imports cost a cold search 50 ms

        import ftfy

        text = ftfy.fix_text(text)
        text = html.unescape(html.unescape(text))
    return text.strip()


class TextTokenizer:
    """CLIP's byte-pair tokenizer: cleaning, merges, start and end tokens, truncation.

    The `tokenizers` library splits text into words. Its merging would need its own vocabulary,
    which takes 100 ms to load, a third of a cold search; this one takes 10 ms.

    Attributes:
        context_length: How many ids a text has at most.
        start: The id of the start token.
        end: The id of the end token.
        pad: The id of padding.
    """

    def __init__(
        self,
        file: Path,
        *,
        clean: str,
        context_length: int,
        start: int,
        end: int,
        pad: int,
        specials: dict[str, int],
    ) -> None:
        """Read the merges.

        Args:
            file: On the first line, the 256 characters that stand for bytes, in the order of their
                ids; then one merge per line, best first. Ids number the characters, then the
                characters at the end of a word, then the result of each merge.
            clean: A key of `CLEANERS`.
            context_length: How many ids a text has at most.
            start: The id of the start token.
            end: The id of the end token.
            pad: The id of padding.
            specials: Special tokens that may be typed, such as `<end_of_text>`, and their ids.

        Raises:
            ValueError: The file does not hold merges.
        """
        characters, *merges = file.read_text(encoding="utf-8").splitlines()
        self._bytes = {character: number for number, character in enumerate(characters.split())}
        if len(self._bytes) != 256:
            raise ValueError(f"its first line has {len(self._bytes)} characters, not 256")
        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        self._clean = CLEANERS[clean]
        self._specials = specials
        self._kept: dict[str, tuple[Sequence[int], ...]] = {}
        self._words = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(
                    Regex("|".join([*specials, WORD])), behavior="removed", invert=True
                ),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self.context_length = context_length
        self.start, self.end, self.pad = start, end, pad

    def encode(self, text: str, *, longest: int = NEVER) -> list[int]:
        """Return the ids of one text, without the start and end tokens.

        Args:
            text: The text.
            longest: Leave out words that begin after this many ids.

        Raises:
            QueryError: A word is too long.
        """
        ids: list[int] = []
        # No word reaches over a space, which is all the white space that cleaning leaves.
        for part in self._clean(text).split(" "):
            for word in self._words_of(part):
                if len(ids) >= longest:
                    return ids
                ids.extend(word)
        return ids

    def _words_of(self, part: str) -> Iterable[Sequence[int]]:
        """Return the ids of each word in a text without spaces; those of short ones are kept."""
        kept = self._kept.get(part)
        if kept is not None:
            return kept
        words = (self._ids_of(word) for word, _ in self._words.pre_tokenize_str(part))
        if len(part) > MAX_KEPT_LETTERS:
            return words  # one by one: there may be more of them than are asked for
        kept = tuple(words)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[part] = kept
        return kept

    def _ids_of(self, word: str) -> Sequence[int]:
        special = self._specials.get(word)
        return self._merge(word) if special is None else (special,)

    def _merge(self, word: str) -> list[int]:
        """Return the ids of a word: its neighbors are merged, best merge first, while possible.

        The first of equal merges comes first. A heap holds the possible ones, so that a word of n
        letters takes n log n steps; those that another merge has made impossible stay in it until
        they come up.
        """
        if len(word) > MAX_WORD:
            raise QueryError(f"a word has {len(word):,} letters: at most {MAX_WORD:,} are read")
        tokens = [*word[:-1], word[-1] + END_OF_WORD]
        ids = [self._bytes[character] for character in word]
        ids[-1] += len(self._bytes)
        count = len(tokens)
        # The tokens as a linked list: the places of each one's neighbors. An empty one is merged.
        before, after = list(range(-1, count - 1)), list(range(1, count + 1))
        ranks = self._ranks
        possible = [
            (rank, at)
            for at, pair in enumerate(pairwise(tokens))
            if (rank := ranks.get(" ".join(pair), NEVER)) != NEVER
        ]
        heapify(possible)
        while possible:
            rank, at = heappop(possible)
            right = after[at]
            if right >= count or not tokens[at] or self._rank(tokens, at, right) != rank:
                continue
            tokens[at] += tokens[right]
            ids[at] = 2 * len(self._bytes) + rank
            tokens[right] = ""
            after[at] = after[right]
            if after[at] < count:
                before[after[at]] = at
            for left, other in ((before[at], at), (at, after[at])):
                if left >= 0 and other < count:
                    new = self._rank(tokens, left, other)
                    if new != NEVER:
                        heappush(possible, (new, left))
        return [one for one, token in zip(ids, tokens, strict=True) if token]

    def _rank(self, tokens: list[str], left: int, right: int) -> int:
        return self._ranks.get(f"{tokens[left]} {tokens[right]}", NEVER)

    def __call__(self, texts: list[str], *, cut: bool = False) -> TokenIds:
        """Return ids `(n, context_length)`; with `cut`, only as long as the longest text."""
        rows = []
        for text in texts:
            ids = [self.start, *self.encode(text, longest=self.context_length), self.end]
            if len(ids) > self.context_length:
                ids = [*ids[: self.context_length - 1], self.end]
            rows.append(ids)
        length = max(map(len, rows), default=2) if cut else self.context_length
        table = np.full((len(rows), length), self.pad, dtype=np.int64)
        for row, ids in zip(table, rows, strict=True):
            row[: len(ids)] = ids
        return table
