"""LoRA: a frozen weight plus a trained product of two thin matrices.

    W' = W + (alpha / rank) B A,    A (rank, in) random, B (out, rank) zero

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022. In attention it
adapts the joint projection of queries, keys and values and the output projection; in convolutional
towers the pointwise (1 x 1) convolutions, which are matrices, too. Written from the equation as
torch parametrizations; docs/decisions/0024-peft.md says why not with the `peft` package.
"""

import math
import re

import torch
from torch import nn
from torch.nn.utils import parametrize

# Modules of attention, by the names that transformers gives them.
ATTENTION = re.compile("attn|attention", re.IGNORECASE)


class LowRank(nn.Module):
    """Adds the product to a weight `(out, in)` or `(out, in, 1, 1)`."""

    def __init__(self, weight: torch.Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        out, into = weight.shape[:2]
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, into))
        self.up = nn.Parameter(torch.zeros(out, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight that the layer uses."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def adaptable(tower: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return (module, name of its weight) of what LoRA adapts.

    These are attention's projections where there is attention, else pointwise convolutions, else
    the linear layers of attention as transformers builds it, else all linear layers.
    """
    attention: list[tuple[nn.Module, str]] = []
    for module in tower.modules():
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            attention += [(module, "in_proj_weight"), (module.out_proj, "weight")]
    if attention:
        return attention
    convolutions: list[tuple[nn.Module, str]] = [
        (module, "weight")
        for module in tower.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    ]
    if convolutions:
        return convolutions
    linear = {name: one for name, one in tower.named_modules() if isinstance(one, nn.Linear)}
    inside = {name for name in linear if ATTENTION.search(name)} or linear.keys()
    return [(linear[name], "weight") for name in linear if name in inside]


def add_lora(tower: nn.Module, rank: int, alpha: float) -> list[nn.Parameter]:
    """Freeze the tower, add low-rank products, and return the parameters to train."""
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    for module, name in adaptable(tower):
        weight = getattr(module, name)
        parametrize.register_parametrization(
            module, name, LowRank(weight, rank, alpha), unsafe=True
        )
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]


def merge_lora(tower: nn.Module) -> None:
    """Replace each weight with its sum, in place; the tower has its original modules again."""
    for module in list(tower.modules()):
        if parametrize.is_parametrized(module):
            names = list(module.parametrizations)  # type: ignore[arg-type]
            for name in names:
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
