"""Restores an image tower from a bundle's graph (`from_onnx`).

The built-in model comes only as a bundle. Its exporter folded each batch normalization into the
convolution before it, whose bias is called `…_bias`. So the tower is rebuilt with the folded
convolutions as they are, and normalizations that only add that bias. The result is compared with
the bundle before its first use.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import ModelError
from indexer.openclip.image_tower import ImageTower, build_visual

from .from_onnx import Weights, fill, read_weights

PREFIX = "model.visual."
FOLDED = ".weight_bias"
MIN_COSINE = 0.9999


def tower_from_graph(bundle: Bundle) -> nn.Module:
    """Return open_clip's image tower with the weights of a bundle's graph.

    Raises:
        ModelError: The manifest names no architecture, the graph's weights do not fit the tower, or
            the vectors differ.
    """
    if not bundle.architecture:
        raise ModelError(f"the bundle {bundle.folder} does not name its architecture")
    visual = build_visual(bundle.architecture)
    found = read_weights(bundle.folder / "image.onnx", (PREFIX,))
    _unfold(visual, found.named)
    fill(visual, found, f"the image tower of {bundle.name}")
    require_same_vectors(visual, bundle)
    return visual


def require_same_vectors(visual: nn.Module, bundle: Bundle) -> float:
    """Compare a tower with a bundle on 16 sample images.

    Returns:
        The minimum cosine of their vectors.

    Raises:
        ModelError: The cosine is below 0.9999.
    """
    pixels = np.stack([bundle.image.pixels(image) for image in sample_images()])
    encoder = OnnxEncoder(bundle, device="cpu")
    tower = ImageTower(visual, bundle.image, "fp32")
    minimum = 1.0
    for at in range(0, len(pixels), 4):
        with torch.inference_mode():
            ours = tower(torch.from_numpy(pixels[at : at + 4])).numpy()
        theirs = encoder.encode_images(pixels[at : at + 4])
        minimum = min(minimum, float((ours * theirs).sum(1).min()))
    if not minimum >= MIN_COSINE:
        raise ModelError(
            f"the image tower of {bundle.name} in torch differs from its bundle (cosine "
            f"{minimum:.6f}, minimum {MIN_COSINE}): use --device cpu"
        )
    return minimum


def _unfold(visual: nn.Module, weights: Weights) -> None:
    """Add weights for each folded normalization, which make it add only its bias."""
    for norm, convolution in _folds(visual):
        bias = weights.pop(f"{convolution}{FOLDED}", None)
        if bias is None:
            continue  # `fill` reports it as missing
        module = visual.get_submodule(norm)
        assert isinstance(module, nn.BatchNorm2d)
        weights |= {
            f"{norm}.weight": torch.ones_like(bias),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            # So that the divisor, the square root of variance plus eps, is 1.
            f"{norm}.running_var": torch.full_like(bias, 1 - module.eps),
            f"{norm}.num_batches_tracked": torch.tensor(0),
        }


def _folds(visual: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield (normalization, convolution before it), by name, in the order of their definition."""
    convolution = None
    for name, module in visual.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name
        elif isinstance(module, nn.BatchNorm2d) and convolution is not None:
            yield name, convolution
            convolution = None
