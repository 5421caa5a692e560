"""OpenAI's embeddings request, answered by the collection's model."""

import base64
import binascii

import numpy as np

from indexer.encoder import Embeddings
from serving.errors import Problem
from serving.schemas.requests import EmbeddingsBody
from serving.schemas.responses import Embedding, EmbeddingsAnswer

from .search import Answering

MAX_INPUTS = 256
DATA_URL = "data:image/"


async def embed(answering: Answering, body: EmbeddingsBody) -> EmbeddingsAnswer:
    """Texts, and images as `data:image/...;base64,...`, to unit vectors."""
    ready = await answering.ready()
    items = body.items
    if not 0 < len(items) <= MAX_INPUTS:
        raise Problem(422, f"input: give 1 to {MAX_INPUTS} texts or images")
    if body.model not in (ready.model.name, ready.model.fingerprint):
        raise Problem(404, f"this server's model is {ready.model.name!r}")
    if body.dimensions not in (None, ready.model.dim):
        raise Problem(422, f"dimensions: this model's vectors have {ready.model.dim}")
    vectors = np.empty((len(items), ready.model.dim), np.float32)
    images = [at for at, item in enumerate(items) if item.startswith(DATA_URL)]
    texts = [at for at in range(len(items)) if at not in set(images)]
    if texts:
        if not all(items[at].strip() for at in texts):
            raise Problem(422, "input: an empty text has no vector")
        vectors[texts] = await answering.encode_texts([items[at][:2000] for at in texts])
    if images:
        vectors[images] = await answering.encode_images([_bytes(items[at]) for at in images])
    data = [
        Embedding(index=at, embedding=_written(vector, body.encoding_format))
        for at, vector in enumerate(vectors)
    ]
    return EmbeddingsAnswer(data=data, model=ready.model.name)


def _written(vector: Embeddings, form: str) -> list[float] | str:
    if form == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _bytes(url: str) -> bytes:
    head, _, data = url.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError("another encoding")
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(422, "input: an image has to be data:image/TYPE;base64,DATA") from None
