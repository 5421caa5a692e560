from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.bundles.samples import sample_images
from indexer.images.preprocess import Preprocess

MEAN, STD = (0.48, 0.45, 0.40), (0.27, 0.26, 0.28)


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_pixels_are_open_clips_to_the_byte(
    resize_mode: str, interpolation: str, size: tuple[int, int]
) -> None:
    transform = pytest.importorskip("open_clip.transform")
    if resize_mode == "shortest" and size[0] != size[1] and interpolation == "bilinear":
        pytest.skip("open_clip ignores the interpolation here and stays with bicubic")
    theirs = transform.image_transform(
        size,
        is_train=False,
        mean=MEAN,
        std=STD,
        resize_mode=resize_mode,
        interpolation=interpolation,
        fill_color=114,
    )
    ours = Preprocess(size, MEAN, STD, resize_mode, interpolation, 114)  # type: ignore[arg-type]
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in (MEAN, STD))
    for image in sample_images(12):
        expected = theirs(image).numpy()
        bytes_expected = np.round((expected * std + mean) * 255)
        pixels = ours.pixels(image)
        assert np.array_equal(pixels, bytes_expected.astype(np.uint8))
        assert np.abs((pixels / np.float32(255) - mean) / std - expected).max() < 1e-6


def test_a_very_long_image_is_cut_before_it_is_resized() -> None:
    image = Image.new("RGB", (60_000, 2), "green")
    pixels = Preprocess((260, 260)).pixels(image)
    assert pixels.shape == (3, 260, 260)
    assert pixels[1].min() == 128


def test_settings_survive_json(tmp_path: Path) -> None:
    settings = Preprocess((224, 320), MEAN, STD, "longest", "bilinear", 9)
    assert Preprocess.from_json(settings.to_json()) == settings
