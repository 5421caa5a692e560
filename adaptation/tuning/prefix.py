"""Prefix tuning: learnt keys and values that every token of a layer attends to.

    softmax(q [P_k; k]^T / sqrt(d)) [P_v; v]

Source: Li and Liang, Prefix-Tuning: Optimizing Continuous Prompts for Generation, ACL 2021, in the
form of He et al., Towards a Unified View of Parameter-Efficient Transfer Learning, ICLR 2022.
"""

import torch
from torch import nn
from torch.nn import functional

from indexer.errors import ModelError

LENGTH = 8
# Of the normal distribution that prefixes are drawn from.
DEVIATION = 0.02


class PrefixAttention(nn.Module):
    """Stands for a self-attention, whose projections stay.

    keys, values: `(heads, length, width / heads)`.
    """

    def __init__(self, attention: nn.MultiheadAttention, length: int) -> None:
        super().__init__()
        self.attention = attention
        shape = (attention.num_heads, length, attention.head_dim)
        self.keys = nn.Parameter(DEVIATION * torch.randn(shape))
        self.values = nn.Parameter(DEVIATION * torch.randn(shape))

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """As `nn.MultiheadAttention` is called: `(n, tokens, width)` thrice to one of the same.

        An image tower's attention is of itself and has no mask.
        """
        own, heads = self.attention, self.attention.num_heads
        x = query if own.batch_first else query.transpose(0, 1)
        joint = functional.linear(x, own.in_proj_weight, own.in_proj_bias)
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in joint.chunk(3, dim=-1)
        )
        k, v = (
            torch.cat([prefix.expand(x.shape[0], -1, -1, -1).to(part.dtype), part], dim=2)
            for prefix, part in ((self.keys, k), (self.values, v))
        )
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out = own.out_proj(mixed)
        return out if own.batch_first else out.transpose(0, 1), None


def add_prefixes(tower: nn.Module, length: int = LENGTH) -> list[nn.Parameter]:
    """Freeze the tower and give each self-attention a prefix; returns what is left to learn.

    Raises ModelError for a tower that is no transformer of open_clip's.
    """
    transformer = getattr(tower, "transformer", None)
    blocks = list(getattr(transformer, "resblocks", ()))
    if not blocks or not all(isinstance(one.attn, nn.MultiheadAttention) for one in blocks):
        raise ModelError(
            f"{type(tower).__name__} has no attention that takes prefixes: use --method lora"
        )
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    for block in blocks:
        block.attn = PrefixAttention(block.attn, length)
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]
