"""A query: texts and images that are wanted, texts that are not, one vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.encoder import Embeddings, Encoder, unit
from indexer.errors import QueryError

# A sum shorter than this has cancelled out: its direction is rounding noise.
SHORTEST = 1e-3


@dataclass(frozen=True)
class Query:
    """What to look for. Weights multiply unit vectors; `without` counts with weight -1 each.

    concepts: vectors `(dim,)` that stand for words of the user's own.
    """

    text: str | None = None
    images: Sequence[Path] = ()
    without: Sequence[str] = ()
    text_weight: float = 1.0
    image_weight: float = 1.0
    concepts: Sequence[Embeddings] = ()

    @property
    def kind(self) -> str:
        """ "text", "image", or "mixed" of both; a concept is as good as an image."""
        if not self.images and not self.concepts:
            return "text"
        return "mixed" if (self.text or "").strip() else "image"

    @property
    def texts(self) -> list[str]:
        """What the text encoder has to encode: the text, if any, then the unwanted ones."""
        text = (self.text or "").strip()
        return [*([text] if text else []), *(word for word in self.without if word.strip())]

    def check(self) -> None:
        """Raise QueryError where nothing is asked for."""
        if not (self.text or "").strip() and not self.images and not self.concepts:
            raise QueryError("nothing to search for: give a text, or an image with --image")

    def vector(self, encoder: Encoder) -> Embeddings:
        """The weighted sum `(dim,)`, of unit norm.

        Raises QueryError where nothing is asked for or the parts cancel out, ImageError for an
        image that cannot be read.
        """
        self.check()
        nothing = np.zeros((0, encoder.dim), dtype=np.float32)
        texts = encoder.encode_texts(self.texts) if self.texts else nothing
        if not self.images:
            return self.combined(texts, nothing)
        from .image_query import encode_image_files

        return self.combined(texts, encode_image_files(encoder, self.images))

    def combined(self, texts: Embeddings, images: Embeddings) -> Embeddings:
        """The weighted sum `(dim,)` of the vectors of `texts` and of the images, of unit norm.

        Raises QueryError where the parts cancel out.
        """
        wanted = 1 if (self.text or "").strip() else 0
        total = np.float32(self.text_weight) * texts[:wanted].sum(axis=0)
        total = total - texts[wanted:].sum(axis=0)
        total = total + np.float32(self.image_weight) * images.sum(axis=0)
        for vector in self.concepts:
            total = total + np.float32(self.image_weight) * vector
        if not np.isfinite(total).all() or float(np.linalg.norm(total)) < SHORTEST:
            raise QueryError(
                "the parts of this query cancel each other out: ask for something else"
            )
        return unit(total)
