"""A query: texts and pictures that are wanted, texts that are not, one vector."""

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
    """What to look for. Weights multiply unit vectors; `without` counts with weight -1 each."""

    text: str | None = None
    images: Sequence[Path] = ()
    without: Sequence[str] = ()
    text_weight: float = 1.0
    image_weight: float = 1.0

    @property
    def kind(self) -> str:
        """ "text", "image", or "mixed" of both."""
        if not self.images:
            return "text"
        return "mixed" if (self.text or "").strip() else "image"

    def vector(self, encoder: Encoder) -> Embeddings:
        """The weighted sum `(dim,)`, of unit norm.

        Raises QueryError where nothing is asked for or the parts cancel out, ImageError for a
        picture that cannot be read.
        """
        text = (self.text or "").strip()
        if not text and not self.images:
            raise QueryError("nothing to search for: give a text, or a picture with --image")
        total = np.zeros(encoder.dim, dtype=np.float32)
        texts = [text] if text else []
        unwanted = [word for word in self.without if word.strip()]
        if texts or unwanted:
            vectors = encoder.encode_texts([*texts, *unwanted])
            if texts:
                total += np.float32(self.text_weight) * vectors[0]
            total -= vectors[len(texts) :].sum(axis=0)
        if self.images:
            from .pictures import encode_pictures

            pictures = encode_pictures(encoder, self.images)
            total += np.float32(self.image_weight) * pictures.sum(axis=0)
        if not np.isfinite(total).all() or float(np.linalg.norm(total)) < SHORTEST:
            raise QueryError(
                "the parts of this query cancel each other out: ask for something else"
            )
        return unit(total)
