"""The layers of any of open_clip's image towers, from the input to the output."""

from torch import nn


def layers(tower: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters by depth: those before the blocks, of each block, and after them."""
    own = {id(parameter): parameter for parameter in tower.parameters()}
    found = blocks(tower)
    inside = {id(p) for block in found for p in block.parameters()}
    first = [id(p) for p in found[0].parameters()] if found else []
    order = list(own)
    start = order.index(first[0]) if first else len(order)
    before = [own[key] for key in order[:start] if key not in inside]
    after = [own[key] for key in order[start:] if key not in inside]
    groups = [before, *(list(block.parameters()) for block in found), after]
    return [group for group in groups if group]


def blocks(tower: nn.Module) -> list[nn.Module]:
    """Return the tower's blocks.

    They are the entries of its largest `ModuleList` or `Sequential` with at least two that hold
    parameters; transformers, ResNets and timm's trunks all have one.
    """
    best: list[nn.Module] = []
    for module in tower.modules():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            entries = [entry for entry in module if any(True for _ in entry.parameters())]
            size = sum(p.numel() for entry in entries for p in entry.parameters())
            if len(entries) >= 2 and size > sum(p.numel() for e in best for p in e.parameters()):
                best = entries
    return best
