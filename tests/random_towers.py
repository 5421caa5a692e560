"""Small image towers with random weights."""

from pathlib import Path

import numpy as np
import open_clip
import torch
from torch import nn

from indexer.bundle import Bundle
from indexer.models import find_bundle
from indexer.picture_tower import build_visual

TEXT = {"context_length": 4, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}
VISION = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8}


def transformer(**vision: object) -> nn.Module:
    """open_clip's, of three blocks of width 32 with two heads, for 32 x 32 pixels."""
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=16, vision_cfg={**VISION, **vision}, text_cfg=TEXT)
    tower: nn.Module = model.visual.eval()
    return tower


def pocket() -> nn.Module:
    """The built-in model's, random."""
    torch.manual_seed(0)
    return build_visual(find_bundle("pocket").architecture).eval()


def exported_alike(tower: nn.Module, bundle: Bundle, folder: Path) -> float:
    """The least cosine of the tower's vectors and those of its exported graph."""
    import onnxruntime

    from adaptation.tuning.bundles import Exportable
    from indexer.picture_tower import PictureTower
    from indexer.towers import export_image

    export_image(Exportable(tower), bundle.image, folder / "image.onnx")
    session = onnxruntime.InferenceSession(folder / "image.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, *bundle.image.size), dtype=np.uint8)
    (theirs,) = session.run(None, {"pixels": pixels})
    with torch.inference_mode():
        ours = PictureTower(tower, bundle.image, "fp32")(torch.from_numpy(pixels)).numpy()
    return float((ours * theirs).sum(axis=1).min())
