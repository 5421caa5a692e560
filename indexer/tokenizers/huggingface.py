"""Token ids of a Hugging Face tokenizer, the same as open_clip's `HFTokenizer` gives.

Cleaning is open_clip's, in Python; the `tokenizers` library, which also runs the model's own
tokenizer, splits, merges, truncates and pads.

Source: open_clip `tokenizer.py` (`HFTokenizer.__call__`, `_clips_tokenize`).
"""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from .bpe import CLEANERS, TokenIds


class HuggingFaceTokenizer:
    """A tokenizer whose `tokenizer.json` defines truncation and padding.

    Attributes:
        context_length: How many ids a text has at most.
    """

    def __init__(
        self,
        file: Path,
        *,
        clean: str,
        context_length: int,
        blank: int | None = None,
        clips: tuple[int, int, int, int] | None = None,
        prefix: str = "",
    ) -> None:
        """Load the tokenizer.

        Args:
            file: The `tokenizer.json`.
            clean: A key of `bpe.CLEANERS`.
            context_length: How many ids a text has at most.
            blank: An id to replace with 0 (`strip_sep_token`).
            clips: The ids of the start, end, padding and class tokens, for text between start and
                end, then padding, and the class token last (`tokenizer_mode="clips"`).
            prefix: What stands in front of each text.
        """
        self._tokenizer = Tokenizer.from_file(str(file))
        self._clean = CLEANERS[clean]
        self._blank = blank
        self._clips = clips
        self._prefix = prefix
        self.context_length = context_length

    def __call__(self, texts: list[str], *, cut: bool = False) -> TokenIds:
        """Return ids `(n, context_length)`; with `cut`, only as long as the longest text."""
        cleaned = [self._prefix + self._clean(text) for text in texts]
        if self._clips is not None:
            return self._with_class_token(cleaned, *self._clips)
        encodings = self._tokenizer.encode_batch(cleaned)
        ids = np.array([one.ids for one in encodings], dtype=np.int64)
        ids = ids.reshape(len(texts), self.context_length)
        if self._blank is not None:
            ids[ids == self._blank] = 0
        if cut:
            ids = ids[:, : max((sum(one.attention_mask) for one in encodings), default=1)]
        return ids

    def _with_class_token(
        self, texts: list[str], start: int, end: int, pad: int, last: int
    ) -> TokenIds:
        table = np.full((len(texts), self.context_length), pad, dtype=np.int64)
        table[:, -1] = last
        for row, one in zip(
            table, self._tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
        ):
            ids = [start, *one.ids[: self.context_length - 3], end]
            row[: len(ids)] = ids
        return table
