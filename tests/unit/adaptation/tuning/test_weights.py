"""Interpolated, averaged and low-rank weights, on random towers."""

import copy

import pytest
import torch
from torch import nn

from adaptation.tuning.layer_groups import layers
from adaptation.tuning.peft.lora import adaptable, add_lora, merge_lora
from adaptation.tuning.wise_ft import average, interpolate
from support.random_towers import small_transformer


@pytest.fixture(scope="module")
def transformer() -> nn.Module:
    """A small ViT of open_clip's, with random weights."""
    return small_transformer()


@pytest.fixture
def tower(transformer: nn.Module) -> nn.Module:
    return copy.deepcopy(transformer)


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2),
        nn.Sequential(nn.Conv2d(8, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16)),
        nn.Conv2d(16, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def test_interpolate_between_two_states() -> None:
    start = {"w": torch.tensor([0.0, 2.0]), "count": torch.tensor(3)}
    tuned = {"w": torch.tensor([1.0, 4.0]), "count": torch.tensor(7)}
    assert interpolate(start, tuned, 0.0)["w"].tolist() == [0.0, 2.0]
    assert interpolate(start, tuned, 1.0)["w"].tolist() == [1.0, 4.0]
    half = interpolate(start, tuned, 0.5)
    assert half["w"].tolist() == [0.5, 3.0]
    assert half["count"] == 7
    assert start["w"].tolist() == [0.0, 2.0]


def test_average_needs_states_of_one_model() -> None:
    states = [{"w": torch.full((2,), float(value))} for value in (1, 2, 6)]
    assert average(states)["w"].tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="different models"):
        average([states[0], {"v": states[0]["w"]}])
    with pytest.raises(ValueError, match="different models"):
        interpolate(states[0], {"w": torch.zeros(3)}, 0.5)
    with pytest.raises(ValueError, match="nothing to average"):
        average([])


def test_lora_starts_at_zero_and_merges(tower: nn.Module) -> None:
    x = torch.randn(4, 3, 32, 32)
    before = tower(x)
    names = list(tower.state_dict())
    learnt = add_lora(tower, rank=2, alpha=4.0)
    torch.testing.assert_close(tower(x), before)
    # Per layer A and B of the joint projection (96 x 32) and of the output's (32 x 32).
    assert sum(p.numel() for p in learnt) == 3 * 2 * ((96 + 32) + (32 + 32))
    for parameter in learnt:
        nn.init.normal_(parameter, std=0.1)
    adapted = tower(x)
    assert (adapted - before).abs().max() > 1e-3
    merge_lora(tower)
    assert list(tower.state_dict()) == names or set(tower.state_dict()) == set(names)
    torch.testing.assert_close(tower(x), adapted, atol=1e-5, rtol=0)


def test_only_lora_weights_get_gradients(tower: nn.Module) -> None:
    learnt = add_lora(tower, rank=2, alpha=4.0)
    for parameter in learnt:
        nn.init.normal_(parameter, std=0.1)
    tower(torch.randn(2, 3, 32, 32)).sum().backward()
    with_gradient = {id(p) for p in tower.parameters() if p.grad is not None}
    assert with_gradient == {id(p) for p in learnt}


def test_the_equation_is_the_papers() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False))
    weight = layer[0].weight.detach().clone()
    (down, up) = add_lora(layer, rank=2, alpha=6.0)
    nn.init.normal_(up)
    expected = weight[:, :, 0, 0] + 3.0 * up @ down
    torch.testing.assert_close(layer[0].weight[:, :, 0, 0], expected)


def test_lora_adapts_pointwise_convolutions() -> None:
    found = adaptable(convolutional())
    assert [tuple(module.weight.shape) for module, _ in found] == [(16, 8, 1, 1), (8, 16, 1, 1)]


def test_layers_go_from_the_input_to_the_output(tower: nn.Module) -> None:
    groups = layers(tower)
    assert len(groups) == 5  # patches and positions, three blocks, projection
    assert sum(p.numel() for group in groups for p in group) == sum(
        p.numel() for p in tower.parameters()
    )
    own = {id(p): name for name, p in tower.named_parameters()}
    names = [{own[id(p)] for p in group} for group in groups]
    assert "conv1.weight" in names[0]
    for number in range(3):
        prefix = f"transformer.resblocks.{number}."
        assert all(name.startswith(prefix) for name in names[number + 1])
    assert "proj" in names[0] or "proj" in names[4]
