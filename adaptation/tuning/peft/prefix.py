"""Prefix tuning: trained keys and values before those of each attention.

    head_i = softmax(q [P_k; k]^T / sqrt(d)) [P_v; v]

Source: Li and Liang, Prefix-Tuning: Optimizing Continuous Prompts for Generation, ACL 2021, in the
form of He et al., Towards a Unified View of Parameter-Efficient Transfer Learning, ICLR 2022.
Prefixes are random at first and take a share of each softmax, so the tower's vectors change before
the first step. Written from the equation; the prefixes are trained directly, without an MLP.
"""

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch.nn import functional

from indexer.errors import ModelError

SPREAD = 0.02


class PrefixAttention(nn.Module):
    """Replaces torch's attention, with its weights under their names.

    Attributes:
        keys: `(heads, length, width / heads)`.
        values: Of the same shape.
    """

    def __init__(self, attention: nn.MultiheadAttention, length: int) -> None:
        super().__init__()
        self.heads = attention.num_heads
        self.batch_first = attention.batch_first
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj
        shape = (self.heads, length, attention.head_dim)
        self.keys = nn.Parameter(SPREAD * torch.randn(shape).to(self.in_proj_weight))
        self.values = nn.Parameter(SPREAD * torch.randn(shape).to(self.in_proj_weight))

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """Return the output `(n, tokens, width)`, and None for the attention weights.

        Args:
            query: `(n, tokens, width)`, or with the first two swapped.
            key: The query itself.
            value: The query itself.
            need_weights: Ignored.
            attn_mask: As torch's attention takes it; prefixes are never masked.
        """
        assert key is query is value, "an image's tokens attend to themselves"
        if not self.batch_first:
            query = query.transpose(0, 1)
        joint = functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (self._heads(one) for one in joint.chunk(3, dim=2))
        batch = (q.shape[0], -1, -1, -1)
        k = torch.cat([self.keys.to(k.dtype).expand(batch), k], dim=2)
        v = torch.cat([self.values.to(v.dtype).expand(batch), v], dim=2)
        mask = None if attn_mask is None else self._mask(attn_mask, q)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        mixed = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return (mixed if self.batch_first else mixed.transpose(0, 1)), None

    def _heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """Reshape `(n, tokens, width)` to `(n, heads, tokens, width / heads)`."""
        n, count, width = tokens.shape
        return tokens.view(n, count, self.heads, width // self.heads).transpose(1, 2)

    def _mask(self, mask: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """Return what is added to the logits, with zeros for the prefixes."""
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, float("-inf"))
        if mask.ndim == 3:
            mask = mask.view(q.shape[0], self.heads, *mask.shape[1:])
        return functional.pad(mask.to(q.dtype), (self.keys.shape[1], 0))


def add_prefixes(tower: nn.Module, length: int) -> list[nn.Parameter]:
    """Freeze the tower and add prefixes to its attention.

    Args:
        tower: Changed in place.
        length: How many keys and values each attention gets.

    Returns:
        The parameters to train.

    Raises:
        ModelError: The tower is not one of open_clip's transformers with torch's attention.
        ValueError: The length is below 1.
    """
    if length < 1:
        raise ValueError(f"a prefix's length is at least 1, not {length}")
    blocks = [block for block in tower.modules() if isinstance(block, ResidualAttentionBlock)]
    if not blocks:
        raise ModelError(
            f"prefixes go into the attention of open_clip's transformers, and this image tower "
            f"({type(tower).__name__}) has none: tune it with another method"
        )
    tower.requires_grad_(False)
    for block in blocks:
        block.attn = PrefixAttention(block.attn, length)
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]
