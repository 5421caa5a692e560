"""Prefixes, against their equation written out."""

import copy
import math

import pytest
import torch
from torch import nn

from adaptation.tuning.peft.prefix import PrefixAttention, add_prefixes
from support.random_towers import randomize, small_transformer

WIDTH, HEADS = 32, 2


def attention(
    attn: nn.MultiheadAttention, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """softmax(q [P_k; k]^T / sqrt(d)) [P_v; v], head by head; x: `(n, tokens, width)`."""
    (w_q, w_k, w_v), (b_q, b_k, b_v) = attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3)
    size = WIDTH // HEADS
    mixed = []
    for head in range(HEADS):
        own = slice(head * size, (head + 1) * size)
        q, k, v = (
            torch.einsum("ntc,dc->ntd", x, w[own]) + b[own]
            for w, b in ((w_q, b_q), (w_k, b_k), (w_v, b_v))
        )
        k = torch.stack([torch.cat([keys[head], one]) for one in k])
        v = torch.stack([torch.cat([values[head], one]) for one in v])
        logits = torch.einsum("ntd,nsd->nts", q, k) / math.sqrt(size)
        shares = logits.exp() / logits.exp().sum(dim=2, keepdim=True)
        mixed.append(torch.einsum("nts,nsd->ntd", shares, v))
    return torch.cat(mixed, dim=2) @ attn.out_proj.weight.T + attn.out_proj.bias


def test_prefixes_precede_keys_and_values() -> None:
    tower = small_transformer()
    plain = copy.deepcopy(tower)
    learnt = add_prefixes(tower, 5)
    randomize(learnt)
    pixels = torch.randn(2, 3, 32, 32)
    x = plain._embeds(pixels)
    for number, block in enumerate(plain.transformer.resblocks):
        keys, values = learnt[2 * number : 2 * number + 2]
        x = x + attention(block.attn, block.ln_1(x), keys, values)
        x = x + block.mlp(block.ln_2(x))
    expected = plain.ln_post(x)[:, 0] @ plain.proj
    torch.testing.assert_close(tower(pixels), expected, atol=1e-5, rtol=0)


def test_prefixes_leave_the_towers_weights_their_names() -> None:
    tower = small_transformer()
    names = set(tower.state_dict())
    add_prefixes(tower, 5)
    assert {name.rpartition(".")[2] for name in set(tower.state_dict()) - names} == {
        "keys",
        "values",
    }
    assert names < set(tower.state_dict())


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", ["none", "bool", "added", "of each head"])
def test_without_a_prefix_it_is_torchs_attention(batch_first: bool, kind: str) -> None:
    torch.manual_seed(0)
    attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first).eval()
    x = torch.randn(3, 7, WIDTH) if batch_first else torch.randn(7, 3, WIDTH)
    added = torch.randn(7, 7)
    mask = {
        "none": None,
        "bool": torch.ones(7, 7, dtype=torch.bool).triu(1),
        "added": added,
        "of each head": torch.randn(3 * HEADS, 7, 7),
    }[kind]
    expected, _ = attn(x, x, x, need_weights=False, attn_mask=mask)
    got, none = PrefixAttention(attn, 0)(x, x, x, need_weights=False, attn_mask=mask)
    assert none is None
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_prefixes_are_never_masked() -> None:
    torch.manual_seed(0)
    attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    prefixed = PrefixAttention(attn, 4)
    randomize([prefixed.keys, prefixed.values])
    x = torch.randn(2, 1, WIDTH)
    alone = torch.ones(1, 1, dtype=torch.bool)  # the one token may not see itself
    got, _ = prefixed(x, x, x, attn_mask=alone)
    q = (x @ attn.in_proj_weight[:WIDTH].T + attn.in_proj_bias[:WIDTH]).view(2, HEADS, 16)
    shares = torch.einsum("nhd,hld->nhl", q, prefixed.keys / 4).softmax(dim=2)
    mixed = torch.einsum("nhl,hld->nhd", shares, prefixed.values).reshape(2, 1, WIDTH)
    expected = mixed @ attn.out_proj.weight.T + attn.out_proj.bias
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
