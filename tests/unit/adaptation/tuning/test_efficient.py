"""Adapters, prefixes and visual prompts on random towers: equations, gradients, counts, export."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from adaptation.tuning.adapters import WIDTH, Adapted, add_adapters
from adaptation.tuning.lora import add_lora
from adaptation.tuning.prefix import add_prefixes
from adaptation.tuning.visual_prompts import add_visual_prompts
from indexer.errors import ModelError
from indexer.models import find_bundle
from random_towers import exported_alike, pocket, transformer

Add = Callable[[nn.Module], list[nn.Parameter]]
METHODS: dict[str, tuple[Add, int]] = {
    # Behind both residual branches of three blocks: down 32 x 5 + 5, up 5 x 32 + 32.
    "adapters": (lambda tower: add_adapters(tower, 5), 3 * 2 * (32 * 5 + 5 + 5 * 32 + 32)),
    # Keys and values of three blocks, two heads, four tokens, 16 wide.
    "prefixes": (lambda tower: add_prefixes(tower, 4), 3 * 2 * 2 * 4 * 16),
    "shallow": (lambda tower: add_visual_prompts(tower, 6, deep=False), 6 * 32),
    "deep": (lambda tower: add_visual_prompts(tower, 6, deep=True), 3 * 6 * 32),
}


def drawn(learnt: list[nn.Parameter]) -> None:
    torch.manual_seed(1)
    for parameter in learnt:
        nn.init.normal_(parameter, std=0.2)


@pytest.mark.parametrize("method", METHODS)
def test_only_what_is_added_learns(method: str) -> None:
    add, count = METHODS[method]
    tower = transformer()
    learnt = add(tower)
    assert sum(p.numel() for p in learnt) == count
    drawn(learnt)
    tower(torch.randn(2, 3, 32, 32)).square().sum().backward()
    moved = {id(p) for p in tower.parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert moved == {id(p) for p in learnt}


@pytest.mark.parametrize("method", METHODS)
def test_weights_come_back_and_the_export_is_the_same(method: str, tmp_path: Path) -> None:
    tower = transformer()
    drawn(METHODS[method][0](tower))
    again = transformer()
    METHODS[method][0](again)
    again.load_state_dict(copy.deepcopy(tower.state_dict()))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again(x), tower(x))
    bundle = find_bundle("pocket")
    bundle = replace(bundle, image=replace(bundle.image, size=(32, 32)))
    assert exported_alike(tower, bundle, tmp_path) > 0.9999


def test_adapters_start_as_nothing_and_add_their_bottleneck() -> None:
    tower, x = transformer(), torch.randn(2, 3, 32, 32)
    before = tower(x)
    learnt = add_adapters(tower, 5)
    torch.testing.assert_close(tower(x), before)
    drawn(learnt)
    block = tower.transformer.resblocks[1]
    tokens = torch.randn(2, 17, 32)
    plain = transformer().transformer.resblocks[1]

    def bottleneck(adapted: nn.Module, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(adapted, Adapted)
        down, up = adapted.adapter.down, adapted.adapter.up
        return x + functional.gelu(x @ down.weight.T + down.bias) @ up.weight.T + up.bias

    normed = plain.ln_1(tokens)
    middle = tokens + bottleneck(block.ls_1, plain.attn(normed, normed, normed)[0])
    expected = middle + bottleneck(block.ls_2, plain.mlp(plain.ln_2(middle)))
    torch.testing.assert_close(block(tokens), expected, atol=1e-5, rtol=1e-5)


def test_convolutional_adapters_start_as_nothing_and_are_a_small_share(tmp_path: Path) -> None:
    tower, x = pocket(), torch.randn(1, 3, 260, 260)
    whole = sum(p.numel() for p in tower.parameters())
    with torch.no_grad():
        before = tower(x)
        learnt = add_adapters(tower)
        torch.testing.assert_close(tower(x), before)
    assert 0 < sum(p.numel() for p in learnt) < 0.02 * whole
    drawn(learnt)
    block = tower.trunk.blocks[2][1]
    seen = torch.randn(1, 48, 9, 9)
    with torch.no_grad():
        out = block.block(seen)
        down, up = block.adapter.down, block.adapter.up
        hidden = functional.gelu(
            torch.einsum("nchx,wc->nwhx", out, down.weight[:, :, 0, 0])
            + down.bias.view(1, WIDTH, 1, 1)
        )
        expected = out + torch.einsum("nwhx,cw->nchx", hidden, up.weight[:, :, 0, 0])
        expected = expected + up.bias.view(1, 48, 1, 1)
        torch.testing.assert_close(block(seen), expected, atol=1e-4, rtol=1e-4)
        for parameter in learnt:
            parameter.mul_(0.1)
    assert exported_alike(tower, find_bundle("pocket"), tmp_path) > 0.9999


@pytest.mark.parametrize("batch_first", [True, False])
def test_prefixes_are_keys_and_values_that_all_tokens_see(batch_first: bool) -> None:
    tower = transformer()
    plain = tower.transformer.resblocks[0].attn
    plain.batch_first = batch_first
    drawn(add_prefixes(tower, 4))
    own = tower.transformer.resblocks[0].attn
    x = torch.randn(2, 17, 32)
    q, k, v = (x @ plain.in_proj_weight.T + plain.in_proj_bias).split(32, dim=-1)
    heads = []
    for head in range(2):
        part = slice(16 * head, 16 * head + 16)
        keys = torch.cat([own.keys[head].expand(2, 4, 16), k[..., part]], dim=1)
        values = torch.cat([own.values[head].expand(2, 4, 16), v[..., part]], dim=1)
        shares = (q[..., part] @ keys.transpose(1, 2) / 16**0.5).softmax(dim=-1)
        heads.append(shares @ values)
    expected = torch.cat(heads, dim=-1) @ plain.out_proj.weight.T + plain.out_proj.bias
    given = x if batch_first else x.transpose(0, 1)
    found, _ = own(given, given, given, need_weights=False)
    torch.testing.assert_close(found if batch_first else found.transpose(0, 1), expected)


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("pool", ["tok", "avg"])
def test_visual_prompts_stand_between_class_token_and_patches(deep: bool, pool: str) -> None:
    plain = transformer(pool_type=pool)
    tower = transformer(pool_type=pool)
    learnt = add_visual_prompts(tower, 6, deep=deep)
    drawn(learnt)
    prompts = [tower.transformer.prompts.tokens]
    if deep:
        inner = tower.transformer.transformer.resblocks
        prompts += [block.prompts.tokens for block in inner[1:]]
    x = torch.randn(2, 3, 32, 32)
    tokens = plain._embeds(x)
    start, patches = tokens[:, :1], tokens[:, 1:]
    middle = prompts[0].expand(2, 6, 32)
    for number, block in enumerate(plain.transformer.resblocks):
        if deep:
            middle = prompts[number].expand(2, 6, 32)
        out = block(torch.cat([start, middle, patches], dim=1))
        start, middle, patches = out[:, :1], out[:, 1:7], out[:, 7:]
    pooled, _ = plain._pool(torch.cat([start, patches], dim=1))
    torch.testing.assert_close(tower(x), pooled @ plain.proj, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("add", [add_prefixes, add_visual_prompts])
def test_towers_without_attention_take_neither(add: Add) -> None:
    with pytest.raises(ModelError, match="use --method lora"):
        add(pocket())
    with pytest.raises(ModelError, match="no blocks"):
        add_adapters(nn.Linear(3, 3))


def test_low_rank_products_of_the_built_in_tower_are_a_small_share() -> None:
    tower = pocket()
    whole = sum(p.numel() for p in tower.parameters())
    assert 0 < sum(p.numel() for p in add_lora(tower, 4, 8.0)) < 0.02 * whole
