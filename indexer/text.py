"""Text to token ids, the same ones that open_clip's tokenizer gives.

Cleaning is open_clip's (`tokenizer.py`: `basic_clean`, `whitespace_clean`, `canonicalize_text`),
in Python, since Python and Rust differ on `lower`; the byte-pair merges are done by the
`tokenizers` library.
"""

import html
import re
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

TokenIds = NDArray[np.int64]
"""`(n, length)`, each row one text, padded on the right."""

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
    """A model's tokenizer: cleaning, merges, start and end tokens, truncation.

    specials: texts that stand for themselves when typed (`<end_of_text>`), with their ids. They
    are matched where open_clip's own pattern would, not wherever they occur.
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
        self._tokenizer = Tokenizer.from_file(str(file))
        self._clean = CLEANERS[clean]
        self.context_length = context_length
        self.start, self.end, self.pad = start, end, pad
        self._specials = specials
        self._typed = re.compile("|".join(map(re.escape, specials)) or r"(?!)")

    def encode(self, text: str) -> list[int]:
        """Ids of one text, without start and end."""
        cleaned = self._clean(text)
        if self._typed.search(cleaned):
            return self._encode_words(cleaned)
        ids: list[int] = self._tokenizer.encode(cleaned, add_special_tokens=False).ids
        return ids

    def _encode_words(self, cleaned: str) -> list[int]:
        ids: list[int] = []
        for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(cleaned):
            if word in self._specials:
                ids.append(self._specials[word])
            else:
                ids.extend(token.id for token in self._tokenizer.model.tokenize(word))
        return ids

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
