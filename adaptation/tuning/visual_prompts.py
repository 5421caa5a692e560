"""Visual prompt tuning: learnt tokens beside a picture's patches.

Shallow: `count` tokens behind the class token go through all blocks. Deep: before each block they
are replaced by tokens of its own. Behind the last block they are dropped, so that pooling sees what
it always saw.
Source: Jia et al., Visual Prompt Tuning, ECCV 2022.
"""

import math
from typing import Any

import torch
from torch import nn

from indexer.errors import ModelError

COUNT = 8


class Prompts(nn.Module):
    """Tokens `(count, width)`, drawn as the paper does: uniform, by the patches' size and width."""

    def __init__(self, count: int, width: int, patch: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / (3 * patch * patch + width))
        self.tokens = nn.Parameter(torch.empty(count, width).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor, replaced: int) -> torch.Tensor:
        """`(n, 1 + replaced + patches, width)` to `(n, 1 + count + patches, width)`."""
        own = self.tokens.expand(x.shape[0], -1, -1).to(x.dtype)
        return torch.cat([x[:, :1], own, x[:, 1 + replaced :]], dim=1)


class PromptedBlock(nn.Module):
    """A block with prompts of its own in the place of the former ones."""

    def __init__(self, block: nn.Module, prompts: Prompts, *, batch_first: bool) -> None:
        super().__init__()
        self.block, self.prompts, self.batch_first = block, prompts, batch_first

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As the block is called."""
        count = len(self.prompts.tokens)
        if self.batch_first:
            x = self.prompts(x, count)
        else:
            x = self.prompts(x.transpose(0, 1), count).transpose(0, 1)
        out: torch.Tensor = self.block(x, *args, **kwargs)
        return out


class PromptedTransformer(nn.Module):
    """A transformer that is given prompts and whose output is without them."""

    def __init__(self, transformer: nn.Module, prompts: Prompts) -> None:
        super().__init__()
        self.transformer, self.prompts = transformer, prompts

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`(n, 1 + patches, width)` to the same."""
        out = self.transformer(self.prompts(x, 0), *args, **kwargs)
        return torch.cat([out[:, :1], out[:, 1 + len(self.prompts.tokens) :]], dim=1)


def add_visual_prompts(
    tower: nn.Module, count: int = COUNT, *, deep: bool = True
) -> list[nn.Parameter]:
    """Freeze the tower and give it prompts; returns what is left to learn.

    Raises ModelError for a tower that is no transformer of open_clip's.
    """
    transformer: Any = getattr(tower, "transformer", None)
    given: Any = tower
    if not hasattr(transformer, "resblocks") or not hasattr(tower, "class_embedding"):
        raise ModelError(f"{type(tower).__name__} takes no visual prompts: use --method lora")
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    width, patch = len(given.class_embedding), int(given.conv1.kernel_size[0])
    if deep:
        for number in range(1, len(transformer.resblocks)):
            transformer.resblocks[number] = PromptedBlock(
                transformer.resblocks[number],
                Prompts(count, width, patch),
                batch_first=transformer.batch_first,
            )
    given.transformer = PromptedTransformer(transformer, Prompts(count, width, patch))
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]
