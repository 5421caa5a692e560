"""Texts through the built-in text tower: cut, sorted, mapped and packed, always the same."""

import numpy as np
import pytest

from indexer.encoders.onnx_encoder import MAPPED_RUNS, OnnxEncoder
from indexer.load import find_bundle
from support.texts import CURIOUS, strings


@pytest.fixture
def encoder() -> OnnxEncoder:
    return OnnxEncoder(find_bundle("pocket"), device="cpu")


def test_text_vectors_do_not_depend_on_the_batch(encoder: OnnxEncoder) -> None:
    texts = ["a dog", *CURIOUS, *strings(150), "two cats on a red sofa in the evening"]
    together = encoder.encode_texts(texts)
    whole = np.concatenate([encoder.encode_ids(encoder.tokenizer([text])) for text in texts])
    alone = np.concatenate([OnnxEncoder(encoder.bundle).encode_texts([text]) for text in texts[:9]])
    assert np.abs(together - whole).max() < 1e-5
    assert np.abs(together[:9] - alone).max() < 1e-5
    assert len({vector.tobytes() for vector in together.round(4)}) > 100  # not one for all


def test_packed_weights_give_equal_vectors(
    encoder: OnnxEncoder,
) -> None:
    vectors = [encoder.encode_texts(["a dog on a beach"])[0] for _ in range(MAPPED_RUNS)]
    assert "_text_session" in vars(encoder)
    vectors += [encoder.encode_texts(["a dog on a beach"])[0] for _ in range(3)]
    assert "_text_session" not in vars(encoder)
    assert np.abs(np.stack(vectors) - vectors[0]).max() < 1e-5
