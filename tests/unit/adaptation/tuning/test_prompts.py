"""Prefixes and visual prompts, against their equations written out."""

import copy
import math

import pytest
import torch
from torch import nn

from adaptation.tuning.peft.prefix import PrefixAttention, add_prefixes
from adaptation.tuning.peft.visual_prompts import add_visual_prompts
from indexer.errors import ModelError
from support.random_towers import small_transformer

WIDTH, HEADS, BLOCKS = 32, 2, 3


def moved(learnt: list[nn.Parameter]) -> None:
    for parameter in learnt:
        nn.init.normal_(parameter, std=0.5)


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
    moved(learnt)
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
    moved([prefixed.keys, prefixed.values])
    x = torch.randn(2, 1, WIDTH)
    alone = torch.ones(1, 1, dtype=torch.bool)  # the one token may not see itself
    got, _ = prefixed(x, x, x, attn_mask=alone)
    q = (x @ attn.in_proj_weight[:WIDTH].T + attn.in_proj_bias[:WIDTH]).view(2, HEADS, 16)
    shares = torch.einsum("nhd,hld->nhl", q, prefixed.keys / 4).softmax(dim=2)
    mixed = torch.einsum("nhl,hld->nhd", shares, prefixed.values).reshape(2, 1, WIDTH)
    expected = mixed @ attn.out_proj.weight.T + attn.out_proj.bias
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


POOLS: list[dict[str, object]] = [
    {},
    {"pool_type": "avg", "no_ln_pre": True},
    {"pool_type": "avg", "final_ln_after_pool": True},
    {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2},
]


@pytest.mark.parametrize("options", POOLS)
@pytest.mark.parametrize("deep", [False, True])
def test_prompts_follow_the_class_token(options: dict[str, object], deep: bool) -> None:
    tower = small_transformer(**options)
    plain = copy.deepcopy(tower)
    learnt = add_visual_prompts(tower, 5, deep)
    assert len(learnt) == (BLOCKS if deep else 1)
    moved(learnt)
    pixels = torch.randn(2, 3, 32, 32)
    x = plain._embeds(pixels)
    assert x.shape == (2, 17, WIDTH)
    x = torch.cat([x[:, :1], torch.stack([learnt[0]] * 2), x[:, 1:]], dim=1)
    for number, block in enumerate(plain.transformer.resblocks):
        if deep:  # VPT-Deep: what became of the earlier ones is replaced
            x[:, 1:6] = learnt[number]
        x = block(x)
    x = torch.cat([x[:, :1], x[:, 6:]], dim=1)
    if not options:
        expected = plain.ln_post(x)[:, 0]
    elif "attentional_pool" in options:
        expected = plain.ln_post(plain.attn_pool(x))[:, 0]
    elif "final_ln_after_pool" in options:
        expected = plain.ln_post(x[:, 1:].mean(dim=1))
    else:
        expected = plain.ln_post(x)[:, 1:].mean(dim=1)
    torch.testing.assert_close(tower(pixels), expected @ plain.proj, atol=1e-5, rtol=0)


def test_prompts_are_initialized_like_patches() -> None:
    learnt = add_visual_prompts(small_transformer(), 500, deep=False)[0]
    bound = math.sqrt(6 / (3 * 8 * 8 + WIDTH))
    assert 0.99 * bound < learnt.abs().max() <= bound
    assert abs(learnt.mean()) < 0.02 * bound


def test_prompted_vectors_do_not_depend_on_the_batch() -> None:
    tower = small_transformer()
    moved(add_visual_prompts(tower, 3, deep=True))
    x = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(tower(x)[2:3], tower(x[2:3]), atol=1e-5, rtol=0)


def test_other_towers_are_refused_unchanged() -> None:
    convolutional = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    with pytest.raises(ModelError, match=r"^prefixes go into .* \(Sequential\) has none: [^\n]*$"):
        add_prefixes(convolutional, 4)
    with pytest.raises(
        ModelError, match=r"^prompts go into .* \(Sequential\) is not one of these: [^\n]*$"
    ):
        add_visual_prompts(convolutional, 4, deep=False)
    assert all(p.requires_grad for p in convolutional.parameters())
    own = small_transformer(block_type="custom", qk_norm=True)
    with pytest.raises(ModelError, match="has none"):
        add_prefixes(own, 4)
