"""Image towers with random weights, the same each time."""

import open_clip
import torch
from torch import nn

TEXT = {"context_length": 4, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}
VISION = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8}


def small_transformer(**vision: object) -> nn.Module:
    """open_clip's ViT of three blocks, 32 wide with two heads, for 32 x 32 pixels, to 16 numbers.

    vision: what else its configuration says.
    """
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=16, vision_cfg={**VISION, **vision}, text_cfg=TEXT)
    tower: nn.Module = model.visual.eval()
    return tower


def randomize(learnt: list[nn.Parameter]) -> None:
    """Draw what a tower will learn, which may start at zero."""
    for parameter in learnt:
        nn.init.normal_(parameter, std=0.5)
