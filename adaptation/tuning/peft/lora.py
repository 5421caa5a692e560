"""LoRA: a frozen weight and a learnt product of two thin ones.

    W' = W + (alpha / rank) B A,    A (rank, in) drawn, B (out, rank) zero

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022. Of attention it
takes the joint projection of queries, keys and values and the output projection; of convolutional
towers the pointwise (1 x 1) convolutions, which are matrices too. Written from the equation, as
torch parametrizations: `peft` wraps modules, and open_clip's attention reads `in_proj_weight`
itself, past any wrapper.
"""

import math

import torch
from torch import nn
from torch.nn.utils import parametrize


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
        """The weight as the layer sees it."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def adaptable(tower: nn.Module) -> list[tuple[nn.Module, str]]:
    """(module, name of its weight) of what LoRA takes: attention's projections where there is
    attention, pointwise convolutions otherwise.
    """
    attention: list[tuple[nn.Module, str]] = []
    for module in tower.modules():
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            attention += [(module, "in_proj_weight"), (module.out_proj, "weight")]
    if attention:
        return attention
    return [
        (module, "weight")
        for module in tower.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    ]


def add_lora(tower: nn.Module, rank: int, alpha: float) -> list[nn.Parameter]:
    """Freeze the tower and add low-rank products; returns what is left to learn."""
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    for module, name in adaptable(tower):
        weight = getattr(module, name)
        parametrize.register_parametrization(
            module, name, LowRank(weight, rank, alpha), unsafe=True
        )
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]


def merge_lora(tower: nn.Module) -> None:
    """Let each weight be the sum, in place; the tower is then what it was, with other numbers."""
    for module in list(tower.modules()):
        if parametrize.is_parametrized(module):
            names = list(module.parametrizations)  # type: ignore[arg-type]
            for name in names:
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
