"""A tower's layers from the input to the output, for any of open_clip's."""

from torch import nn


def layers(tower: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters by depth: what comes before the blocks, each block, what comes after.

    Blocks are the longest `ModuleList` or `Sequential` of the tower with at least two entries that
    hold parameters, as transformers, ResNets and timm's trunks all have one.
    """
    own = {id(parameter): parameter for parameter in tower.parameters()}
    blocks = _blocks(tower)
    inside = {id(p) for block in blocks for p in block.parameters()}
    first = [id(p) for p in blocks[0].parameters()] if blocks else []
    order = list(own)
    start = order.index(first[0]) if first else len(order)
    before = [own[key] for key in order[:start] if key not in inside]
    after = [own[key] for key in order[start:] if key not in inside]
    groups = [before, *(list(block.parameters()) for block in blocks), after]
    return [group for group in groups if group]


def _blocks(tower: nn.Module) -> list[nn.Module]:
    best: list[nn.Module] = []
    for module in tower.modules():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            entries = [entry for entry in module if any(True for _ in entry.parameters())]
            size = sum(p.numel() for entry in entries for p in entry.parameters())
            if len(entries) >= 2 and size > sum(p.numel() for e in best for p in e.parameters()):
                best = entries
    return best
