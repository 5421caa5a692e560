"""Texts through the built-in text tower: cut, sorted, mapped and packed, always the same."""

from typing import Any

import numpy as np
import pytest

from indexer.bundles.samples import sample_images
from indexer.encoders.onnx_encoder import MAPPED_RUNS, PROVIDERS, OnnxEncoder
from indexer.errors import DeviceUnavailable
from indexer.load import find_bundle, require_device
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


def test_a_device_has_to_give_the_cpus_vectors(
    encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The CPU stands for a device that ONNX Runtime has a provider for.
    monkeypatch.setitem(PROVIDERS, "directml", "CPUExecutionProvider")
    pixels = np.stack([encoder.preprocess.pixels(image) for image in sample_images(3)])
    on_device = OnnxEncoder(encoder.bundle, device="directml")
    assert np.allclose(on_device.encode_images(pixels), encoder.encode_images(pixels), atol=1e-4)
    run = OnnxEncoder._run

    def wrong(self: OnnxEncoder, *given: Any) -> Any:
        vectors = run(self, *given)
        return vectors[:, ::-1] if self.device == "directml" else vectors

    monkeypatch.setattr(OnnxEncoder, "_run", wrong)
    with pytest.raises(DeviceUnavailable, match="gives other vectors there than on the CPU"):
        OnnxEncoder(encoder.bundle, device="directml").encode_images(pixels)


def test_a_device_without_its_provider_names_what_to_install() -> None:
    with pytest.raises(DeviceUnavailable, match="needs ONNX Runtime's OpenVINOExecutionProvider"):
        require_device("openvino")
