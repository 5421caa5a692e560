"""Text to token ids with a Hugging Face tokenizer, as open_clip's `HFTokenizer` does it.

Cleaning is open_clip's, in Python; splitting, merging, truncation and padding are those of the
`tokenizers` library, which the model's own tokenizer runs on too.
Source: open_clip `tokenizer.py` (`HFTokenizer.__call__`, `_clips_tokenize`).
"""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from .bpe import CLEANERS, TokenIds


class HuggingFaceTokenizer:
    """A `tokenizer.json` that carries its truncation and padding.

    blank: an id that is replaced by 0 (`strip_sep_token`).
    clips: (start, end, pad, class) ids: text between start and end, padded, and the class token
    in the last place (`tokenizer_mode="clips"`).
    """

    def __init__(
        self,
        file: Path,
        *,
        clean: str,
        context_length: int,
        blank: int | None = None,
        clips: tuple[int, int, int, int] | None = None,
    ) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self._clean = CLEANERS[clean]
        self._blank = blank
        self._clips = clips
        self.context_length = context_length

    def __call__(self, texts: list[str], *, cut: bool = False) -> TokenIds:
        """`(n, context_length)`; with `cut` only as long as the longest of these texts."""
        cleaned = [self._clean(text) for text in texts]
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
