"""Adapters: a bottleneck after each layer of a frozen tower.

    h' = h + W_up gelu(W_down h + b_down) + b_up

with a random W_down (width, channels) and zero W_up and b_up.

Source: Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019: one at the end of
each residual branch of a transformer's block, attention's and the MLP's. As 1 x 1 convolutions
after each block of a convolutional tower: Rebuffi et al., Learning multiple visual domains with
residual adapters, NeurIPS 2017; the bottleneck's initialization is that of Chen et al.,
AdaptFormer, NeurIPS 2022. Written from the equation.
"""

from collections.abc import Iterator
from typing import Any

import torch
from open_clip.utils import to_2tuple
from torch import nn

from indexer.errors import ModelError

# 1.2 % of the built-in model's image tower.
WIDTH = 16
# What a residual branch of attention and of the MLP ends with, in open_clip's blocks and in timm's.
ENDS = ("ls_1", "ls_2", "ls1", "ls2")
LISTS = (nn.ModuleList, nn.Sequential)


class Adapter(nn.Module):
    """The bottleneck with its residual, over `(…, channels)`, or over `(n, channels, h, w)`."""

    def __init__(self, channels: int, width: int, *, convolution: bool) -> None:
        super().__init__()
        self.down: nn.Module
        self.up: nn.Module
        if convolution:
            self.down, self.up = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)
        else:
            self.down, self.up = nn.Linear(channels, width), nn.Linear(width, channels)
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        added: torch.Tensor = self.up(nn.functional.gelu(self.down(hidden)))
        return hidden + added


class Adapted(nn.Module):
    """A module of the tower, followed by an adapter."""

    def __init__(self, module: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.module = module
        self.adapter = adapter

    def forward(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """Call the module with its arguments, then the adapter."""
        hidden: torch.Tensor = self.adapter(self.module(*arguments, **options))
        return hidden


def add_adapters(tower: nn.Module, width: int = WIDTH) -> list[nn.Parameter]:
    """Freeze the tower and add adapters.

    Args:
        tower: Changed in place.
        width: The size of the bottlenecks.

    Returns:
        The parameters to train.

    Raises:
        ModelError: The tower has no blocks of tokens `(n, tokens, channels)` or of maps
            `(n, channels, h, w)`.
        ValueError: The width is below 1.
    """
    if width < 1:
        raise ValueError(f"an adapter's width is at least 1, not {width}")
    outputs = _outputs(tower, adaptable(tower))
    if not outputs:
        raise ModelError(
            f"this image tower ({type(tower).__name__}) has no blocks that adapters could follow: "
            "tune it with another method"
        )
    tower.requires_grad_(False)
    last = getattr(getattr(tower, "trunk", None), "output_fmt", None) == "NHWC"  # Swin's maps
    for name, output in outputs.items():
        maps = output.ndim == 4 and not last
        adapter = Adapter(output.shape[1 if maps else -1], width, convolution=maps)
        adapter.to(output.device, output.dtype)
        tower.set_submodule(name, Adapted(tower.get_submodule(name), adapter))
    return [parameter for parameter in tower.parameters() if parameter.requires_grad]


def adaptable(tower: nn.Module) -> list[str]:
    """Return the names of the modules that get an adapter.

    These are the ends of a block's residual branches where they have known names, else the block.
    """
    names = []
    for name, block in _blocks(tower):
        names += [f"{name}.{end}" for end in ENDS if hasattr(block, end)] or [name]
    return names


def _blocks(tower: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, block) from the input to the output.

    They are in the list that holds the most parameters, and in those beside it that hold the same
    kind, as a ResNet has one for each stage.
    """
    lists = {
        name: one for name, one in tower.named_modules() if isinstance(one, LISTS) and len(one)
    }
    if not lists:
        return
    largest = max(lists, key=lambda name: sum(p.numel() for p in lists[name].parameters()))
    for name, one in lists.items():
        beside = name.rpartition(".")[0] == largest.rpartition(".")[0]
        if name == largest or (beside and type(one[0]) is type(lists[largest][0])):
            yield from _inside(name, one)


def _inside(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the blocks of a stage, which is a list or has one named `blocks`; else the module."""
    if not isinstance(module, LISTS):
        inner = getattr(module, "blocks", None)
        if not isinstance(inner, LISTS):
            yield name, module
            return
        name, module = f"{name}.blocks", inner
    for number, entry in module.named_children():
        if any(True for _ in entry.parameters()):
            yield from _inside(f"{name}.{number}".removeprefix("."), entry)


def _outputs(tower: nn.Module, names: list[str]) -> dict[str, torch.Tensor]:
    """Return each module's output for a black image, where that is tokens or a map."""
    found: dict[str, torch.Tensor] = {}

    def seen_by(name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim in (3, 4):
                found[name] = output

        return keep

    modes = [(module, module.training) for module in tower.modules()]
    hooks = [tower.get_submodule(name).register_forward_hook(seen_by(name)) for name in names]
    like = next(tower.parameters())
    try:
        tower.eval()  # normalisation layers keep their statistics
        with torch.no_grad():
            tower(like.new_zeros(1, 3, *to_2tuple(getattr(tower, "image_size", 224))))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return found
