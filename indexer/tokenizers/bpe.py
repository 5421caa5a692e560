"""Text to token ids, the same ones that open_clip's tokenizer gives.

Cleaning is open_clip's (`tokenizer.py`: `basic_clean`, `whitespace_clean`, `canonicalize_text`),
in Python, since Python and Rust differ on `lower`.
"""

import html
import string
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, pre_tokenizers

TokenIds = NDArray[np.int64]
"""`(n, length)`, each row one text, padded on the right."""

# A word, as open_clip's `SimpleTokenizer` splits them; case is gone or kept by the cleaning.
WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)"
END_OF_WORD = "</w>"
NEVER = sys.maxsize

PUNCTUATION = str.maketrans("", "", string.punctuation)


def clean_lower(text: str) -> str:
    """Repaired, unescaped, single spaces, lower case."""
    return clean_whitespace(text).lower()


def clean_whitespace(text: str) -> str:
    """Repaired, unescaped, single spaces."""
    return " ".join(_basic_clean(text).split())


def clean_canonicalize(text: str) -> str:
    """Repaired, unescaped, without punctuation, lower case, single spaces."""
    plain = _basic_clean(text).replace("_", " ").translate(PUNCTUATION)
    return " ".join(plain.lower().split())


CLEANERS: dict[str, Callable[[str], str]] = {
    "lower": clean_lower,
    "whitespace": clean_whitespace,
    "canonicalize": clean_canonicalize,
}


def _basic_clean(text: str) -> str:
    # Text from a command line may hold lone surrogates, which no tokenizer can encode.
    text = text.encode("utf-8", "replace").decode("utf-8")
    if not (text.isascii() and text.isprintable()) or "&" in text:
        import ftfy  # plain text has nothing to repair, and the import costs a cold search 50 ms

        text = ftfy.fix_text(text)
        text = html.unescape(html.unescape(text))
    return text.strip()


class TextTokenizer:
    """CLIP's byte-pair tokenizer: cleaning, merges, start and end tokens, truncation.

    file: the 256 characters that stand for bytes, in the order of their ids, on the first line;
    then one merge a line, best first. Ids count the characters, the characters that end a word,
    then what each merge makes; `specials` are texts that stand for themselves when typed
    (`<end_of_text>`), with their ids.

    The `tokenizers` library splits text into words. Its own merging would need its own vocabulary,
    which takes 100 ms to load, a third of a cold search; this one takes 10.
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
        characters, *merges = file.read_text(encoding="utf-8").splitlines()
        self._bytes = {character: number for number, character in enumerate(characters.split())}
        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        self._clean = CLEANERS[clean]
        self._specials = specials
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

    def encode(self, text: str) -> list[int]:
        """Ids of one text, without start and end."""
        ids: list[int] = []
        for word, _ in self._words.pre_tokenize_str(self._clean(text)):
            if word in self._specials:
                ids.append(self._specials[word])
            else:
                ids.extend(self._merge(word))
        return ids

    def _merge(self, word: str) -> list[int]:
        """Ids of one word: its neighbours are merged, best merge first, until none is left."""
        tokens = [*word[:-1], word[-1] + END_OF_WORD]
        ids = [self._bytes[character] for character in word]
        ids[-1] += len(self._bytes)
        ranks = [self._rank(tokens, at) for at in range(len(tokens) - 1)]
        while ranks and (best := min(ranks)) != NEVER:
            at = ranks.index(best)
            tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
            ids[at : at + 2] = [2 * len(self._bytes) + best]
            del ranks[at]
            for neighbour in (at - 1, at):
                if 0 <= neighbour < len(ranks):
                    ranks[neighbour] = self._rank(tokens, neighbour)
        return ids

    def _rank(self, tokens: list[str], at: int) -> int:
        return self._ranks.get(f"{tokens[at]} {tokens[at + 1]}", NEVER)

    def __call__(self, texts: list[str], *, cut: bool = False) -> TokenIds:
        """`(n, context_length)`; with `cut` only as long as the longest of these texts."""
        rows = []
        for text in texts:
            ids = [self.start, *self.encode(text), self.end]
            if len(ids) > self.context_length:
                ids = [*ids[: self.context_length - 1], self.end]
            rows.append(ids)
        length = max(map(len, rows), default=2) if cut else self.context_length
        table = np.full((len(rows), length), self.pad, dtype=np.int64)
        for row, ids in zip(table, rows, strict=True):
            row[: len(ids)] = ids
        return table
