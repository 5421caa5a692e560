"""What turns images and text into vectors, as the rest of clipdex sees it."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""`(n, 3, h, w)`, RGB, resized and cropped as the model wants it, not yet normalised."""

Embeddings = NDArray[np.float32]
"""`(n, dim)`, each row of unit L2 norm."""


class Encoder(Protocol):
    """Images and text to unit vectors of one space.

    An encoder may also carry `preprocess` (`Preprocess`: how an image becomes `Pixels`; a resize
    of the shortest side to `image_size` and a centre crop otherwise), `lanes` (how many threads
    may call `encode_images` at once; 1 otherwise), `batch_size`, or `batch_sizes` of which the
    best is found by measuring, `name`, `logit_scale`, and, for estimates of relevance, `bank`
    (`Embeddings` of captions of everything) and `relevance` (coefficients by kind of query). Four
    more are for indexing many images:

    - `prepare(images: int, batch_size: int | None)` is called before a run of so many images,
      and before `lanes`, batch sizes and `decode_in_processes` are read: the moment to start
      processes and to measure. batch_size: what the user asked for.
    - `encode_batch(images: Sequence[Pixels])` does as `encode_images` for images `(3, h, w)`
      that are not stacked yet, for encoders that lay them into memory of their own.
    - `decode_in_processes` says that threads would not decode fast enough.
    - `close()` ends what `prepare` started.
    """

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """Hash of weights, architecture, preprocessing and tokenizer; names a file, so no `/`."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of `Pixels`."""

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """`(n, 3, h, w)` uint8 to `(n, dim)` float32 of unit norm."""

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """n texts to `(n, dim)` float32 of unit norm."""


def unit(vectors: NDArray[Any]) -> Embeddings:
    """The rows of `vectors` `(n, dim)` at unit L2 norm; a zero row stays zero."""
    rows = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Embeddings = rows / np.maximum(norms, np.float32(1e-12))
    return scaled
