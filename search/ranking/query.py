"""A query: texts and images that are wanted, and others that are not: one vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from indexer.encoder import Embeddings, Encoder, name_of, require_unit, unit
from indexer.errors import QueryError
from search.request import SearchRequest

# A sum shorter than this has cancelled out: its direction is rounding noise.
MIN_NORM = 1e-3
# What an unwanted image weighs beside a wanted one: chosen on Caltech-101's training images by
# benchmarks/feedback.py, whose figures are of others.
UNLIKE_WEIGHT = 0.5
REFINED = "refined"


@dataclass(frozen=True)
class Query:
    """What a request looks for, once the concepts in its text are known.

    Args:
        request: The request.
        text: Its text, stripped, without the names of concepts.
        concepts: Vectors `(dim,)` of the concepts that the text names.
    """

    request: SearchRequest
    text: str
    concepts: Sequence[Embeddings] = ()

    @classmethod
    def of(cls, request: SearchRequest) -> Self:
        """Return the query of a request, no word of which is taken for a concept yet.

        Raises:
            QueryError: There is nothing to look for.
        """
        request.require_query()
        return cls(request, (request.text or "").strip())

    @property
    def kind(self) -> str:
        """What the vector stands for: "text", "image", "mixed", or "refined" by several examples.

        A concept is like an image. Estimates of relevance were fitted for one text and one image:
        there is none for what is refined.
        """
        if self.request.unlike or (self.text and len(self.request.images) > 1):
            return REFINED
        if not self.request.images and not self.concepts:
            return "text"
        return "mixed" if self.text else "image"

    @property
    def texts(self) -> list[str]:
        """The texts to encode: the wanted one, if any, then the unwanted ones."""
        unwanted = [word for word in self.request.without if word.strip()]
        return [self.text, *unwanted] if self.text else unwanted

    @property
    def files(self) -> list[Path | str | bytes]:
        """The images to encode, the wanted ones first; those named by their id have a vector."""
        request = self.request
        return [one for one in (*request.images, *request.unlike) if not isinstance(one, int)]

    def encode(self, encoder: Encoder) -> "EncodedQuery":
        """Encode the texts and the images that are not in the collection.

        Raises:
            ImageError: An image cannot be read; the message names it.
            VectorsError: What the encoder gives are no unit vectors.
        """
        texts = images = np.zeros((0, encoder.dim), dtype=np.float32)
        if self.texts:
            texts = require_unit(
                encoder.encode_texts(self.texts), len(self.texts), encoder.dim, name_of(encoder)
            )
        if self.files:
            from .image_query import encode_image_files

            images = encode_image_files(encoder, self.files)
        return EncodedQuery(self, encoder.fingerprint, texts, images)


@dataclass(frozen=True)
class EncodedQuery:
    """A query with the vectors of one model.

    Args:
        query: The query.
        fingerprint: Of the model that made the vectors.
        texts: `(n, dim)`, of `query.texts`.
        images: `(m, dim)`, of `query.files`.
    """

    query: Query
    fingerprint: str
    texts: Embeddings
    images: Embeddings

    def vector(self, stored: Embeddings) -> Embeddings:
        """Return the weighted sum of all parts, of unit norm.

        Args:
            stored: Vectors `(i, dim)` of the images that the request names by their id, the wanted
                ones first.

        Returns:
            The vector `(dim,)`.

        Raises:
            QueryError: The parts cancel each other out.
        """
        request = self.query.request
        wanted = 1 if self.query.text else 0
        total = np.float32(request.text_weight) * self.texts[:wanted].sum(axis=0)
        total = total - self.texts[wanted:].sum(axis=0)
        files = sum(not isinstance(one, int) for one in request.images)
        ids = len(request.images) - files
        like = np.concatenate([self.images[:files], stored[:ids]]).sum(axis=0)
        unlike = np.concatenate([self.images[files:], stored[ids:]]).sum(axis=0)
        weight = np.float32(request.image_weight)
        total = total + weight * like - weight * np.float32(UNLIKE_WEIGHT) * unlike
        for vector in self.query.concepts:
            total = total + np.float32(request.image_weight) * vector
        if not np.isfinite(total).all() or float(np.linalg.norm(total)) < MIN_NORM:
            raise QueryError(
                "the parts of this query cancel each other out: ask for something else"
            )
        return unit(total)
