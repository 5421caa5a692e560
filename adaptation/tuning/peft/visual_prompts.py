"""Visual prompts: trained tokens between the class token and the patches.

    shallow:  [x_N, _, E_N] = L_N(... L_1([x_0, P, E_0]))
    deep:     [x_i, _, E_i] = L_i([x_(i-1), P_(i-1), E_(i-1)])

Source: Jia et al., Visual Prompt Tuning, ECCV 2022. The outputs of prompts are dropped, before each
block's own prompts in the deep form and after the last block in both, so that open_clip pools what
it pooled before: the class token or the patches. Prompts are initialized as in the paper, without
dropout, and attended to, so the tower's vectors change before the first step.
"""

import math
from typing import Any

import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from indexer.errors import ModelError


class Prompted(nn.Module):
    """A module over tokens that also gets prompts `(count, width)`."""

    def __init__(self, module: nn.Module, prompts: torch.Tensor) -> None:
        super().__init__()
        self.prompts = nn.Parameter(prompts)
        self.module = module

    def forward(self, tokens: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        """Call the module with tokens `(n, 1 + patches, width)`; return the same shape."""
        prompts = self.prompts.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        tokens = torch.cat([tokens[:, :1], prompts, tokens[:, 1:]], dim=1)
        tokens = self.module(tokens, *arguments, **options)
        return torch.cat([tokens[:, :1], tokens[:, 1 + prompts.shape[1] :]], dim=1)


def add_visual_prompts(tower: nn.Module, count: int, deep: bool) -> list[nn.Parameter]:
    """Freeze the tower and add prompts.

    Args:
        tower: Changed in place.
        count: How many tokens.
        deep: Whether each block gets its own prompts, or only the first.

    Returns:
        The parameters to train.

    Raises:
        ModelError: The tower is not one of open_clip's transformers.
        ValueError: The count is below 1.
    """
    if count < 1:
        raise ValueError(f"the number of prompts is at least 1, not {count}")
    if not isinstance(tower, VisionTransformer):
        raise ModelError(
            f"prompts go into open_clip's transformers, and this image tower "
            f"({type(tower).__name__}) is not one of these: tune it with another method"
        )
    tower.requires_grad_(False)
    names = ["transformer"]
    if deep:
        names = [f"transformer.resblocks.{n}" for n in range(len(tower.transformer.resblocks))]
    for name in names:
        prompts = _random_prompts(count, tower.conv1.weight)
        tower.set_submodule(name, Prompted(tower.get_submodule(name), prompts))
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]


def _random_prompts(count: int, patches: torch.Tensor) -> torch.Tensor:
    """Return `(count, width)`, uniform in the bounds of Xavier's rule for the patches' projection.

    Args:
        count: How many prompts.
        patches: `(width, 3, h, w)`, the projection.
    """
    width = patches.shape[0]
    bound = math.sqrt(6 / (patches[0].numel() + width))
    return torch.empty(count, width).uniform_(-bound, bound).to(patches)
