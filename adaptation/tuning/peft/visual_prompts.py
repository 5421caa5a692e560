"""Visual prompts: learnt tokens between the class token and the patches.

    shallow:  [x_N, _, E_N] = L_N(... L_1([x_0, P, E_0]))
    deep:     [x_i, _, E_i] = L_i([x_(i-1), P_(i-1), E_(i-1)])

Source: Jia et al., Visual Prompt Tuning, ECCV 2022. What becomes of the prompts is dropped, before
each block's own in the deep form and behind the last block in both, so that open_clip pools what it
pooled before: the class token, or the patches. Prompts are drawn as there, without dropout, and
attended to: the tower's vectors change before the first step.
"""

import math
from typing import Any

import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from indexer.errors import ModelError


class Prompted(nn.Module):
    """A module over tokens, which sees prompts `(count, width)` too."""

    def __init__(self, module: nn.Module, prompts: torch.Tensor) -> None:
        super().__init__()
        self.prompts = nn.Parameter(prompts)
        self.module = module

    def forward(self, tokens: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        """`(n, 1 + patches, width)` to the same; takes what else the module takes."""
        prompts = self.prompts.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        tokens = torch.cat([tokens[:, :1], prompts, tokens[:, 1:]], dim=1)
        tokens = self.module(tokens, *arguments, **options)
        return torch.cat([tokens[:, :1], tokens[:, 1 + prompts.shape[1] :]], dim=1)


def add_visual_prompts(tower: nn.Module, count: int, deep: bool) -> list[nn.Parameter]:
    """Freeze the tower and add prompts; returns what is left to learn.

    count: tokens before the first block, or, where deep, before each. Raises ModelError for a tower
    that is not a transformer of open_clip's, ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"the count of prompts is at least 1, not {count}")
    if not isinstance(tower, VisionTransformer):
        raise ModelError(
            f"prompts go into open_clip's transformers, and this image tower "
            f"({type(tower).__name__}) is none: tune it with another method"
        )
    tower.requires_grad_(False)
    names = ["transformer"]
    if deep:
        names = [f"transformer.resblocks.{n}" for n in range(len(tower.transformer.resblocks))]
    for name in names:
        prompts = _drawn(count, tower.conv1.weight)
        tower.set_submodule(name, Prompted(tower.get_submodule(name), prompts))
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]


def _drawn(count: int, patches: torch.Tensor) -> torch.Tensor:
    """`(count, width)`, uniform in the bounds that the patches' projection `(width, 3, h, w)` would
    be drawn in by Xavier's rule.
    """
    width = patches.shape[0]
    bound = math.sqrt(6 / (patches[0].numel() + width))
    return torch.empty(count, width).uniform_(-bound, bound).to(patches)
