"""Adapters by their equation, and what every method that freezes the tower keeps to."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from torch import nn
from torch.nn.functional import gelu

from adaptation.tuning.peft.adapters import Adapter, adaptable, add_adapters
from adaptation.tuning.peft.prefix import add_prefixes
from adaptation.tuning.peft.visual_prompts import add_visual_prompts
from adaptation.tuning.save_model import Exportable
from indexer.compile.onnx_export import export_image
from indexer.errors import ModelError
from indexer.images.preprocess import Preprocess
from indexer.load import find_bundle
from indexer.openclip.image_tower import build_visual

Add = Callable[[nn.Module], list[nn.Parameter]]

# Of a tower of 3 blocks, 32 wide.
METHODS: dict[str, tuple[Add, int]] = {
    "adapters": (lambda tower: add_adapters(tower, 4), 3 * 2 * (2 * 32 * 4 + 4 + 32)),
    "prefixes": (lambda tower: add_prefixes(tower, 5), 3 * 2 * 5 * 32),
    "shallow prompts": (lambda tower: add_visual_prompts(tower, 5, deep=False), 5 * 32),
    "deep prompts": (lambda tower: add_visual_prompts(tower, 5, deep=True), 3 * 5 * 32),
}


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> tuple[Add, int]:
    return METHODS[request.param]


def pocket() -> nn.Module:
    """The built-in model's tower, with random weights."""
    torch.manual_seed(0)
    return build_visual(find_bundle("pocket").architecture).eval()


def moved(learnt: list[nn.Parameter]) -> None:
    for parameter in learnt:
        nn.init.normal_(parameter, std=0.2)


def min_cosine(tower: nn.Module, size: int, folder: Path) -> float:
    """Of torch's vectors and the exported graph's."""
    preprocess = Preprocess(size=(size, size), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    export_image(Exportable(tower), preprocess, folder / "image.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, size, size), np.uint8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "image.onnx"), options)
    (theirs,) = session.run(None, {"pixels": pixels})
    with torch.inference_mode():
        ours = tower((torch.from_numpy(pixels) / 255 - 0.5) / 0.5)
    return float((nn.functional.normalize(ours).numpy() * theirs).sum(1).min())


def test_it_learns_as_many_numbers_as_its_formula_says(
    tower: nn.Module, method: tuple[Add, int]
) -> None:
    add, count = method
    assert sum(p.numel() for p in add(tower)) == count


def test_only_what_it_adds_gets_gradients(tower: nn.Module, method: tuple[Add, int]) -> None:
    own = {id(p) for p in tower.parameters()}
    learnt = method[0](tower)
    moved(learnt)
    tower(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert {id(p) for p in tower.parameters() if p.grad is not None} == {id(p) for p in learnt}
    assert own.isdisjoint({id(p) for p in learnt})
    assert own < {id(p) for p in tower.parameters()}


def test_a_tower_built_the_same_way_takes_its_weights(
    tower: nn.Module, method: tuple[Add, int]
) -> None:
    add, _ = method
    again = copy.deepcopy(tower)
    moved(add(tower))
    add(again)
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(again(x), tower(x))
    again.load_state_dict(tower.state_dict())
    assert torch.equal(again(x), tower(x))
    assert torch.equal(copy.deepcopy(tower)(x), tower(x))


def test_its_graph_has_its_vectors(
    tower: nn.Module, method: tuple[Add, int], tmp_path: Path
) -> None:
    moved(method[0](tower))
    assert min_cosine(tower, 32, tmp_path) > 0.9999


def test_nothing_to_add_is_refused(tower: nn.Module) -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        add_adapters(tower, 0)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        add_prefixes(tower, 0)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        add_visual_prompts(tower, 0, deep=True)


def test_adapters_change_nothing_before_the_first_step(tower: nn.Module) -> None:
    x = torch.randn(4, 3, 32, 32)
    before = tower(x)
    add_adapters(tower)
    torch.testing.assert_close(tower(x), before, atol=1e-6, rtol=0)


@pytest.mark.parametrize("convolution", [False, True])
def test_an_adapter_is_a_bottleneck_with_a_residual(convolution: bool) -> None:
    torch.manual_seed(0)
    adapter = Adapter(6, 2, convolution=convolution)
    moved(list(adapter.parameters()))
    down, into, up, out = (p.detach().reshape(p.shape[:2]) for p in adapter.parameters())
    x = torch.randn(3, 5, 4, 6)
    expected = x + gelu(x @ down.T + into) @ up.T + out
    got = adapter(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) if convolution else adapter(x)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_adapters_end_both_branches_of_a_block(tower: nn.Module) -> None:
    plain = copy.deepcopy(tower)
    learnt = add_adapters(tower, 4)
    moved(learnt)
    bottlenecks = [learnt[at : at + 4] for at in range(0, len(learnt), 4)]

    def adapted(h: torch.Tensor) -> torch.Tensor:
        down, into, up, out = bottlenecks.pop(0)
        return h + gelu(h @ down.T + into) @ up.T + out

    pixels = torch.randn(2, 3, 32, 32)
    x = plain._embeds(pixels)
    for block in plain.transformer.resblocks:
        normed = block.ln_1(x)
        x = x + adapted(block.attn(normed, normed, normed, need_weights=False)[0])
        x = x + adapted(block.mlp(block.ln_2(x)))
    expected = plain.ln_post(x)[:, 0] @ plain.proj
    torch.testing.assert_close(tower(pixels), expected, atol=1e-5, rtol=0)
    assert not bottlenecks


def test_adapters_follow_blocks_of_the_built_in_tower() -> None:
    tower = pocket()
    whole = sum(p.numel() for p in tower.parameters())
    plain, x = copy.deepcopy(tower), torch.randn(1, 3, 260, 260)
    statistics = {name: one.clone() for name, one in tower.named_buffers()}
    tower.train()
    learnt = add_adapters(tower)
    assert tower.training
    tower.eval()
    own = {name.replace(".module.", "."): one for name, one in tower.named_buffers()}
    assert all(torch.equal(own[name], one) for name, one in statistics.items())
    channels = [16, *[24] * 3, *[48] * 3, *[88] * 4, *[120] * 4, *[208] * 5, 352]
    count = sum(p.numel() for p in learnt)
    assert count == sum(2 * 16 * one + 16 + one for one in channels)
    assert count < 0.02 * whole
    with torch.inference_mode():
        assert torch.equal(tower(x), plain(x))
    moved(learnt)
    rows = [learnt[at : at + 4] for at in range(0, len(learnt), 4)]
    with torch.inference_mode():
        h = plain.trunk.bn1(plain.trunk.conv_stem(x))
        for block, (down, into, up, out) in zip(
            [block for stage in plain.trunk.blocks for block in stage], rows, strict=True
        ):
            h = block(h)
            narrow = torch.einsum("nchw,kc->nkhw", h, down[:, :, 0, 0]) + into[:, None, None]
            narrow = gelu(narrow)
            h = h + torch.einsum("nkhw,ck->nchw", narrow, up[:, :, 0, 0]) + out[:, None, None]
        h = plain.trunk.bn2(plain.trunk.conv_head(h)).mean(dim=(2, 3))
        torch.testing.assert_close(tower(x), plain.head(h), atol=1e-4, rtol=0)


def test_onnx_graph_with_adapters_has_torchs_vectors(tmp_path: Path) -> None:
    tower = pocket()
    moved(add_adapters(tower))
    assert min_cosine(tower, 260, tmp_path) > 0.9999


def other_towers() -> dict[str, tuple[nn.Module, int]]:
    """Towers that open_clip can have, and how many adapters they get."""

    def timm(name: str, **options: int) -> nn.Module:
        return TimmModel(name, 16, **options)

    return {
        "ModifiedResNet": (ModifiedResNet([1, 2, 2, 1], 16, 4, image_size=64, width=8), 6),
        "ViT": (timm("vit_tiny_patch16_224", image_size=224, pool=""), 24),
        "ConvNeXt": (timm("convnext_atto", image_size=64), 12),
        "Swin": (timm("swin_tiny_patch4_window7_224"), 12),
    }


@pytest.mark.parametrize("kind", ["ModifiedResNet", "ViT", "ConvNeXt", "Swin"])
def test_other_towers_get_adapters_behind_their_blocks(kind: str) -> None:
    torch.manual_seed(0)
    tower, count = other_towers()[kind]
    tower.eval()
    size = 64 if kind in ("ModifiedResNet", "ConvNeXt") else 224
    x = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        before = tower(x)
    assert len(adaptable(tower)) == count
    learnt = add_adapters(tower, 2)
    assert len(learnt) == 4 * count
    with torch.inference_mode():
        torch.testing.assert_close(tower(x), before)
    moved(learnt)
    with torch.inference_mode():
        assert not torch.allclose(tower(x), before)


def test_a_tower_without_blocks_is_refused() -> None:
    tower = nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 4))
    with pytest.raises(ModelError, match="has no blocks that adapters could follow"):
        add_adapters(tower)
    assert all(p.requires_grad for p in tower.parameters())
    with pytest.raises(ModelError, match="has no blocks"):
        add_adapters(nn.Conv2d(3, 4, 3))
