"""The torch encoder on CPU tensors: the same code as on a GPU but for page-locked memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images
from indexer.errors import DeviceUnavailable, ModelError, OutOfMemory
from indexer.images.decode import Limits, decode
from indexer.model_name import BUILT_IN_FOLDER

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from benchmarks.random_models import random_model  # noqa: E402
from indexer.devices.torch_device import translated  # noqa: E402
from indexer.encoders.gpu.torch_encoder import TorchEncoder  # noqa: E402
from indexer.openclip.image_tower import build_visual  # noqa: E402
from indexer.openclip.loader import LoadedModel  # noqa: E402

POCKET = Bundle.load(BUILT_IN_FOLDER)
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
SMALL = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
VIT = {"image_size": 224, "layers": 6, "width": 384, "head_width": 64, "patch_size": 16}


def config(vision: dict[str, Any]) -> dict[str, Any]:
    return {"embed_dim": 48, "vision_cfg": vision, "text_cfg": TEXT}


def encoder_of(loaded: LoadedModel, visual: Any = None, **options: Any) -> TorchEncoder:
    bundle = replace(POCKET, name=loaded.source, dim=48, image=loaded.preprocess)
    return TorchEncoder(bundle, loaded.model.visual if visual is None else visual, **options)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    from open_clip.tokenizer import SimpleTokenizer

    return random_model("small", config=config(SMALL), tokenizer=SimpleTokenizer())


@pytest.fixture(scope="module")
def pixels(loaded: LoadedModel) -> np.ndarray:
    return np.stack([loaded.preprocess.pixels(image) for image in sample_images(20)])


def test_images_and_texts_have_open_clips_vectors(loaded: LoadedModel, pixels: np.ndarray) -> None:
    encoder = encoder_of(loaded, batch_size=7)
    vectors = encoder.encode_images(pixels)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - loaded.encode_images(sample_images(20))).max() < 1e-5
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.encode_images(pixels[:0]).shape == (0, 48)


def test_read_only_pixels_are_encoded(loaded: LoadedModel, pixels: np.ndarray) -> None:
    frozen = pixels[::2].copy()
    frozen.flags.writeable = False
    assert encoder_of(loaded).encode_images(frozen).shape == (10, 48)


def minimum_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_the_vectors_of_real_photos(
    precision: Any, sample_photos: Path
) -> None:
    photos = sorted([*sample_photos.glob("*.png"), *sample_photos.glob("*.jpg")])
    tower = random_model("vit", config=config(VIT))
    images = [decode(photo.read_bytes(), Limits(), at_least=(224, 224)).image for photo in photos]
    batch = np.stack([tower.preprocess.pixels(image) for image in images])
    if precision == "fp16":  # slow on a CPU
        batch = batch[:8]
    full = encoder_of(tower, precision="fp32").encode_images(batch)
    half = encoder_of(tower, precision=precision).encode_images(batch)
    centre = full.mean(axis=0)
    assert len(photos) >= 15
    assert minimum_cosine(full, half) >= 0.999
    # Random towers give nearly one vector for all; what tells images apart must be kept too.
    assert minimum_cosine(full - centre, half - centre) >= 0.99


def test_inaccurate_half_precision_falls_back(loaded: LoadedModel) -> None:
    good = encoder_of(loaded, precision="bf16")
    assert good.settle_precision() >= 0.999
    assert good.precision == "bf16"

    class Overflowing(torch.nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, x: Any) -> Any:
            size = torch.tensor(300.0)
            if torch.is_autocast_enabled("cpu"):
                size = size.to(torch.float16)  # whose largest number is 65,504
            return x.flatten(1)[:, :48] * (size * size)

    bad = encoder_of(loaded, Overflowing(), precision="bf16")
    bad.settle_precision()
    assert bad.precision == "fp32"


def test_overflow_falls_back_to_float32(loaded: LoadedModel, pixels: np.ndarray) -> None:
    class Overflowing(torch.nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, x: Any) -> Any:
            features = x.flatten(1)[:, :48].clone()
            if torch.is_autocast_enabled("cpu"):
                features[1::3] = torch.inf
            return features

    half = encoder_of(loaded, Overflowing(), precision="fp16", batch_size=6)
    full = encoder_of(loaded, Overflowing(), precision="fp32", batch_size=6)
    assert np.array_equal(half.encode_images(pixels), full.encode_images(pixels))


class Limited(torch.nn.Module):  # type: ignore[name-defined,misc]
    """A tower on a device that holds `fits` images."""

    def __init__(self, visual: Any, fits: int, error: Exception) -> None:
        super().__init__()
        self.visual, self.fits, self.error = visual, fits, error
        self.sizes: list[int] = []

    def forward(self, x: Any) -> Any:
        self.sizes.append(len(x))
        if len(x) > self.fits:
            raise self.error
        return self.visual(x)


FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.50 GiB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
]


@pytest.mark.parametrize("error", FULL, ids=["cuda", "mps", "cublas"])
@pytest.mark.parametrize("fits", [1, 3, 5, 16, 19])
def test_batches_out_of_memory_are_halved(
    loaded: LoadedModel, pixels: np.ndarray, fits: int, error: Exception
) -> None:
    expected = encoder_of(loaded).encode_images(pixels)
    limited = Limited(loaded.model.visual, fits, error)
    encoder = encoder_of(loaded, limited, batch_size=20)
    assert np.allclose(encoder.encode_images(pixels), expected, atol=1e-6)
    assert encoder.batch_size == max(s for s in (20, 10, 5, 2, 1) if s <= fits)
    limited.sizes.clear()
    assert np.allclose(encoder.encode_images(pixels), expected, atol=1e-6)
    assert max(limited.sizes) <= fits  # the smaller size was remembered


def test_a_model_too_large_for_one_image_says_what_to_do(loaded: LoadedModel) -> None:
    encoder = encoder_of(loaded, Limited(loaded.model.visual, 0, FULL[0]))
    with pytest.raises(OutOfMemory, match="cpu.*--device cpu"):
        encoder.encode_images(np.zeros((3, 3, 64, 64), np.uint8))


def test_torchs_other_errors_become_one_line(loaded: LoadedModel) -> None:
    broken = Limited(loaded.model.visual, 0, RuntimeError("no kernel\nimage is available"))
    with pytest.raises(ModelError, match="batch of 2: no kernel image is available") as caught:
        encoder_of(loaded, broken).encode_images(np.zeros((2, 3, 64, 64), np.uint8))
    assert not isinstance(caught.value, OutOfMemory)
    with pytest.raises(KeyboardInterrupt), translated(torch.device("cpu"), 1):
        raise KeyboardInterrupt


def test_devices_that_are_not_here_are_named(loaded: LoadedModel) -> None:
    for device in ("cuda:7", "mps", "xpu"):
        if device == "mps" and torch.backends.mps.is_available():
            continue
        with pytest.raises(DeviceUnavailable, match=f"no device {device}.*--device cpu"):
            encoder_of(loaded, device=device)


@pytest.mark.parametrize(
    "arch", ["ViT-B-32", "RN50", "coca_ViT-B-32", "ViT-B-16-SigLIP", "xlm-roberta-base-ViT-B-32"]
)
def test_an_image_tower_is_built_without_its_text_tower(arch: str) -> None:
    import open_clip

    from indexer.openclip.sources import architecture

    config = architecture(arch)
    if "hf_model_name" in config["text_cfg"]:  # not downloaded here: the tower must not need it
        assert build_visual(config).state_dict()
        return
    whole = open_clip.create_model(arch, load_weights=False, device="meta").visual
    ours = build_visual(config).state_dict()
    assert {name: one.shape for name, one in ours.items()} == {
        name: one.shape for name, one in whole.state_dict().items()
    }


def test_a_batch_is_computed_whole_while_memory_holds_it(
    loaded: LoadedModel,
) -> None:
    counting = Limited(loaded.model.visual, 1000, FULL[0])
    encoder_of(loaded, counting).encode_images(np.zeros((130, 3, 64, 64), np.uint8))
    assert counting.sizes == [130]
