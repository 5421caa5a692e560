"""What turns images and text into vectors, as the rest of clipdex sees it."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .errors import VectorsError

if TYPE_CHECKING:
    from indexer.bundles.bundle import Bundle
    from indexer.images.preprocess import Preprocess

Pixels = NDArray[np.uint8]
"""`(n, 3, h, w)`, RGB, resized and cropped for the model, not yet normalized."""

Embeddings = NDArray[np.float32]
"""`(n, dim)`, each row of unit L2 norm."""


@runtime_checkable
class Encoder(Protocol):
    """Images and text to unit vectors of one space: all that a search or an index run needs."""

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
        """Encode `(n, 3, h, w)` uint8 to `(n, dim)` float32 of unit norm."""

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """Encode n texts to `(n, dim)` float32 of unit norm."""


@runtime_checkable
class ModelEncoder(Encoder, Protocol):
    """An encoder that knows its model's name, preprocessing and logit scale."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def preprocess(self) -> "Preprocess":
        """How an image becomes `Pixels`."""

    @property
    def logit_scale(self) -> float:
        """What similarities are multiplied by before a softmax."""


@runtime_checkable
class BundleEncoder(ModelEncoder, Protocol):
    """An encoder that runs a compiled model, which may carry a relevance estimate."""

    @property
    def bundle(self) -> "Bundle":
        """The compiled model."""


@runtime_checkable
class BatchEncoder(Encoder, Protocol):
    """An encoder that says how it wants to be fed with many images."""

    @property
    def workers(self) -> int:
        """Threads that may call `encode_images` at once."""

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Images a batch, ascending; of several, the best is found by measuring."""

    def prepare(self, images: int, batch_size: int | None) -> None:
        """Start what a run needs; called before `workers` and `batch_sizes` are read.

        Args:
            images: How many the run has.
            batch_size: Images a batch, where the user asked for a number.
        """

    def close(self) -> None:
        """End what `prepare` started."""


# How far a vector's norm may be from 1: what rounding in half precision makes of it, and more.
MAX_NORM_ERROR = 0.01
# OpenAI's CLIP starts from it.
DEFAULT_LOGIT_SCALE = 1 / 0.07


def name_of(encoder: Encoder) -> str:
    """Return the model's name, or that of the encoder's class."""
    return encoder.name if isinstance(encoder, ModelEncoder) else type(encoder).__name__


def logit_scale_of(encoder: Encoder) -> float:
    """Return the model's logit scale, or CLIP's."""
    return encoder.logit_scale if isinstance(encoder, ModelEncoder) else DEFAULT_LOGIT_SCALE


def unit(vectors: NDArray[Any]) -> Embeddings:
    """Scale the rows of `vectors` `(n, dim)` to unit L2 norm; a zero row stays zero."""
    rows = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Embeddings = rows / np.maximum(norms, np.float32(1e-12))
    return scaled


def require_unit(vectors: object, rows: int, dim: int, model: str) -> Embeddings:
    """Check what a model gives, before anything is stored or compared.

    Args:
        vectors: Should be `(rows, dim)` finite numbers, each row of unit norm.
        rows: How many images or texts were encoded.
        dim: Length of the model's vectors.
        model: Its name, for the error.

    Returns:
        The vectors.

    Raises:
        VectorsError: They are something else.
    """
    array: Embeddings = np.asarray(vectors)
    if array.shape != (rows, dim) or array.dtype.kind != "f":
        raise VectorsError(
            f"the model {model} is damaged: for {rows} images or texts it gives "
            f"{' x '.join(map(str, array.shape))} values of {array.dtype}, not {rows} x {dim} "
            "numbers"
        )
    squares = np.einsum("nd,nd->n", array, array, dtype=np.float32)
    # Not so where one is not a number.
    good = np.abs(np.sqrt(squares) - 1) <= MAX_NORM_ERROR
    if not good.all():
        raise VectorsError(
            f"the model {model} is damaged: {np.count_nonzero(~good):,} of {rows:,} vectors "
            f"{'are not finite' if not np.isfinite(squares).all() else 'have no unit length'}. "
            "Nothing of them is stored. `clipdex models verify` checks the model's files"
        )
    return array
