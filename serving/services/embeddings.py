"""OpenAI's embeddings request, answered by the collection's model."""

import base64
import binascii

import numpy as np

from indexer.encoder import Embeddings
from indexer.errors import QueryError
from serving.schemas.requests import EmbeddingsBody
from serving.schemas.responses import Embedding, EmbeddingsAnswer

from .errors import NotFound
from .search import SearchService

MAX_INPUTS = 256
MAX_TEXT = 2000
DATA_URL = "data:image/"


async def embed(service: SearchService, body: EmbeddingsBody) -> EmbeddingsAnswer:
    """Encode texts, and images as `data:image/...;base64,...`, to unit vectors.

    Raises:
        QueryError: The input is empty, too long or malformed.
        NotFound: Another model than the server's is asked for.
        ImageError: An image cannot be read.
        Busy: Too many requests wait.
    """
    ready = await service.ready()
    items = body.items
    if not 0 < len(items) <= MAX_INPUTS:
        raise QueryError(f"input: give 1 to {MAX_INPUTS} texts or images")
    if body.model not in (ready.model.name, ready.model.fingerprint):
        raise NotFound(f"this server's model is {ready.model.name!r}")
    if body.dimensions not in (None, ready.model.dim):
        raise QueryError(f"dimensions: this model's vectors have {ready.model.dim}")
    vectors = np.empty((len(items), ready.model.dim), np.float32)
    images = [at for at, item in enumerate(items) if item.startswith(DATA_URL)]
    texts = [at for at in range(len(items)) if at not in set(images)]
    if texts:
        if not all(items[at].strip() for at in texts):
            raise QueryError("input: an empty text has no vector")
        vectors[texts] = await service.encode_texts([items[at][:MAX_TEXT] for at in texts])
    if images:
        vectors[images] = await service.encode_images([_decode(items[at]) for at in images])
    data = [
        Embedding(index=at, embedding=_format(vector, body.encoding_format))
        for at, vector in enumerate(vectors)
    ]
    return EmbeddingsAnswer(data=data, model=ready.model.name)


def _format(vector: Embeddings, encoding: str) -> list[float] | str:
    if encoding == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _decode(url: str) -> bytes:
    head, _, data = url.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError("another encoding")
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise QueryError("input: an image has to be data:image/TYPE;base64,DATA") from None
