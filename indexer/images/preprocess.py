"""Turns an RGB image into a model's pixels, exactly as open_clip's own transform does.

open_clip leaves resizing to torchvision, which calls Pillow's `resize` for Pillow images, so the
same calls on the same image give the same bytes without torch.

Source: open_clip `transform.py` (`image_transform`, `ResizeKeepRatio`, `center_crop_or_pad`).
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from indexer.encoder import Encoder, ModelEncoder, Pixels

if TYPE_CHECKING:  # a text search reads these settings but does not need Pillow
    from PIL import Image

ResizeMode = Literal["shortest", "longest", "squash"]

# Pillow's numbers of the filters, Image.Resampling.
RESAMPLING = {"bilinear": 2, "bicubic": 3}
# Beyond this ratio of the sides only the middle is resized; the center crop keeps no more of it.
MAX_SIDE_RATIO = 32


@dataclass(frozen=True)
class Preprocess:
    """A model's image settings, under the names of open_clip's `preprocess_cfg`.

    Attributes:
        size: (height, width) in pixels.
        mean: Of the RGB channels, on a scale of 0 to 1.
        std: Of the RGB channels, on a scale of 0 to 1.
        resize_mode: "shortest" and "longest" fit that side and crop or pad; "squash" ignores the
            aspect ratio.
        interpolation: "bilinear" or "bicubic".
        fill_color: Gray level, 0 to 255, of the bars that "longest" leaves.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize_mode: ResizeMode = "shortest"
    interpolation: str = "bicubic"
    fill_color: int = 0

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> Self:
        """Return the settings in an object that `to_json` made."""
        lists = {key: tuple(settings[key]) for key in ("size", "mean", "std")}
        return cls(**{**settings, **lists})

    def to_json(self) -> dict[str, Any]:
        """Return the settings as an object of plain JSON types."""
        return asdict(self)

    def pixels(self, image: "Image.Image") -> Pixels:
        """Return an RGB image as `(3, h, w)` uint8."""
        height, width = self.size
        if self.resize_mode == "shortest":
            image = _middle(image)
        resized = image.resize(self._resized(image), RESAMPLING[self.interpolation])
        if resized.size != (width, height):
            resized = _crop_or_pad(resized, width, height, self.fill_color)
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    def _resized(self, image: "Image.Image") -> tuple[int, int]:
        """Return (width, height) before the crop."""
        height, width = self.size
        if self.resize_mode == "squash":
            return width, height
        if self.resize_mode == "shortest" and height == width:
            # As torchvision's Resize(int): the short side is exact, the long one truncated.
            if image.width <= image.height:
                return width, int(width * image.height / image.width)
            return int(width * image.width / image.height), width
        ratios = image.width / width, image.height / height
        ratio = max(ratios) if self.resize_mode == "longest" else min(ratios)
        return max(1, round(image.width / ratio)), max(1, round(image.height / ratio))


def _middle(image: "Image.Image") -> "Image.Image":
    """Return the image, or its middle if it is so long that resizing it would take gigabytes."""
    longest = MAX_SIDE_RATIO * min(image.size)
    if max(image.size) <= longest:
        return image
    width, height = min(image.width, longest), min(image.height, longest)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _crop_or_pad(image: "Image.Image", width: int, height: int, fill: int) -> "Image.Image":
    """Return the middle of an image, with bars where it is smaller than `width` x `height`."""
    if image.width < width or image.height < height:
        from PIL import Image

        canvas = Image.new("RGB", (max(width, image.width), max(height, image.height)), (fill,) * 3)
        canvas.paste(
            image, ((canvas.width - image.width) // 2, (canvas.height - image.height) // 2)
        )
        image = canvas
    left, top = round((image.width - width) / 2.0), round((image.height - height) / 2.0)
    return image.crop((left, top, left + width, top + height))


def preprocess_of(encoder: Encoder) -> Preprocess:
    """Return the encoder's own settings, or a shortest-side resize and center crop."""
    if isinstance(encoder, ModelEncoder):
        return encoder.preprocess
    return Preprocess(size=encoder.image_size)
