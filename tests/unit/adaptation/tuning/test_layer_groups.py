"""A tower's layers, on a random one."""

from torch import nn

from adaptation.tuning.layer_groups import layers


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
