"""Bottleneck adapters: small residual maps between the frozen layers.

    x + up(gelu(down(x))),    down (width, channels), up (channels, width) zero

Source: Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019: behind attention
and behind the MLP, within the residual branches. Towers that are no open_clip transformers get one
behind each of their blocks, of 1 x 1 convolutions where blocks give `(n, channels, h, w)` (Rebuffi
et al., Efficient parametrization of multi-domain deep neural networks, CVPR 2018).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from indexer.errors import ModelError

from .depths import blocks

WIDTH = 16


class Adapter(nn.Module):
    """channels: of the last axis, or of the second one where `spatial`."""

    def __init__(self, channels: int, width: int, *, spatial: bool) -> None:
        super().__init__()
        if spatial:
            self.down: nn.Module = nn.Conv2d(channels, width, 1)
            self.up: nn.Module = nn.Conv2d(width, channels, 1)
        else:
            self.down, self.up = nn.Linear(channels, width), nn.Linear(width, channels)
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        adapted: torch.Tensor = x + self.up(functional.gelu(self.down(x)))
        return adapted


class Adapted(nn.Module):
    """A block with an adapter behind it."""

    def __init__(self, block: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.block, self.adapter = block, adapter

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As the block is called."""
        adapted: torch.Tensor = self.adapter(self.block(*args, **kwargs))
        return adapted


def add_adapters(tower: nn.Module, width: int = WIDTH) -> list[nn.Parameter]:
    """Freeze the tower and put adapters between its layers; returns what is left to learn.

    Raises ModelError for a tower without blocks that they could be put behind.
    """
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    residual = [one for one in blocks(tower) if hasattr(one, "ls_1") and hasattr(one, "ls_2")]
    if residual:
        for block in residual:
            channels = block.ln_1.weight.numel()  # type: ignore[union-attr, operator]
            for name in ("ls_1", "ls_2"):  # layer scales: the end of each residual branch
                adapter = Adapter(channels, width, spatial=False)
                setattr(block, name, Adapted(getattr(block, name), adapter))
    else:
        _behind_blocks(tower, width)
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]


def _behind_blocks(tower: nn.Module, width: int) -> None:
    places = [
        (container, name)
        for entry in blocks(tower)
        for container in [_container(entry)]
        for name, _ in container.named_children()
    ]
    modules = [container.get_submodule(name) for container, name in places]
    shapes = _output_shapes(tower, modules) if modules else []
    if not places or any(len(shape) not in (3, 4) for shape in shapes):
        raise ModelError(
            f"{type(tower).__name__} has no blocks that adapters fit behind: use --method lora"
        )
    for (container, name), shape in zip(places, shapes, strict=True):
        spatial = len(shape) == 4
        adapter = Adapter(shape[1] if spatial else shape[2], width, spatial=spatial)
        setattr(container, name, Adapted(container.get_submodule(name), adapter))


def _container(entry: nn.Module) -> nn.Module:
    """What holds a stage's blocks: the stage, or a part of it called so (timm's ConvNeXt)."""
    inner = getattr(entry, "blocks", entry)
    if isinstance(inner, nn.Sequential):
        return inner
    raise ModelError(
        f"{type(entry).__name__} holds no blocks that adapters fit behind: use --method lora"
    )


def _output_shapes(tower: nn.Module, modules: list[nn.Module]) -> list[torch.Size]:
    """Of each module, when a picture goes through."""
    found: dict[nn.Module, torch.Size] = {}
    hooks = [
        module.register_forward_hook(lambda module, _, out: found.update({module: out.shape}))
        for module in modules
    ]
    size: Any = getattr(tower, "image_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else size
    try:
        with torch.no_grad():
            tower(torch.zeros(1, 3, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return [found.get(module, torch.Size()) for module in modules]
