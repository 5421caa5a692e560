"""Low-rank products, on random towers."""

import torch
from torch import nn

from adaptation.tuning.peft.lora import adaptable, add_lora, merge_lora


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
