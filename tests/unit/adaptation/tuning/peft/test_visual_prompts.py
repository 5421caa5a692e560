"""Visual prompts, against the tower's own layers."""

import copy
import math

import pytest
import torch
from torch import nn

from adaptation.tuning.peft.prefix import add_prefixes
from adaptation.tuning.peft.visual_prompts import add_visual_prompts
from indexer.errors import ModelError
from support.random_towers import randomize, small_transformer

WIDTH, BLOCKS = 32, 3


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
    randomize(learnt)
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
    randomize(add_visual_prompts(tower, 3, deep=True))
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
