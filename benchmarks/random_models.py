"""Models with random weights, for tests and surveys."""

from typing import Any

import torch

from indexer.openclip.loader import LoadedModel, build, loaded_model
from indexer.openclip.sources import architecture


def random_model(
    arch: str, *, config: dict[str, Any] | None = None, tokenizer: Any = None
) -> LoadedModel:
    """Return an architecture with random weights, always the same, for tests and surveys.

    Weights that start as constants (layer scales near 0, biases, batch statistics) are moved off
    them, so that each part of the model affects the vectors.

    Args:
        arch: open_clip's name of the architecture.
        config: The `model_cfg` to use in place of open_clip's own.
        tokenizer: open_clip's tokenizer, if it is needed.
    """
    config = architecture(arch) if config is None else config
    torch.manual_seed(0)
    model = build(config, {})
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point() and tensor.numel() > 1 and name.count("."):
                _move_off_constant(name, tensor)
    return loaded_model(f"{arch}, random", config, model, tokenizer)


def _move_off_constant(name: str, tensor: torch.Tensor) -> None:
    flat = tensor.detach().flatten()
    if name.endswith(("attn_mask", "inv_freq")) or not bool((flat == flat[0]).all()):
        return
    if name.endswith("running_var"):
        tensor.add_(torch.rand_like(tensor))
    else:
        tensor.add_(torch.randn_like(tensor) * 0.1)
