"""An open_clip image tower in torch, from uint8 pixels to unit vectors."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from indexer.devices.torch_device import AUTOCAST, Precision
from indexer.images.preprocess import Preprocess

from .loader import build

# A minimal text tower, since open_clip always builds both towers.
NO_TEXT = {"context_length": 4, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}


class ImageTower(nn.Module):
    """An image tower that normalizes its pixels and its vectors.

    Both normalizations are computed in float32, whatever the tower computes in.

    Attributes:
        visual: open_clip's image tower.
        mean: Of the RGB channels, on a scale of 0 to 1.
        std: Of the RGB channels, on a scale of 0 to 1.
        precision: What the tower computes in.
    """

    def __init__(self, visual: nn.Module, preprocess: Preprocess, precision: Precision) -> None:
        super().__init__()
        self.visual = visual
        self.mean = nn.Buffer(torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.std = nn.Buffer(torch.tensor(preprocess.std).view(1, 3, 1, 1))
        self.precision = precision
        self.eval()
        # Convolutions in half precision run on tensor cores, which want channels last.
        self.to(memory_format=torch.channels_last)

    @property
    def trained(self) -> nn.Module:
        """What tuning moves: open_clip's image tower."""
        return self.visual

    @property
    def device(self) -> torch.device:
        """Where the tower is."""
        return self.mean.device

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode `(n, 3, h, w)` uint8 as `(n, dim)` float32 of unit norm."""
        scaled = (pixels.to(torch.float32) / 255.0 - self.mean) / self.std
        scaled = scaled.contiguous(memory_format=torch.channels_last)
        dtype = AUTOCAST[self.precision]
        with torch.autocast(pixels.device.type, dtype=dtype, enabled=dtype is not None):
            features = self.visual(scaled)
        if isinstance(features, tuple):  # CoCa's: the image's vector, then those of its patches
            features = features[0]
        return functional.normalize(features.float(), dim=-1)


def build_visual(config: dict[str, Any]) -> nn.Module:
    """Return open_clip's image tower of a configuration (`model_cfg`), with random weights.

    Raises:
        CompileError: open_clip cannot build it.
    """
    visual: nn.Module = build({**config, "text_cfg": NO_TEXT}, {}).visual
    return visual
