"""An image tower taken back out of a bundle's graph (`graph_weights`).

The built-in model comes as a bundle only. Its exporter folded each batch normalisation into the
convolution before it, whose bias is called `…_bias`. So the tower is built anew: the folded
convolutions as they are, and normalisations that do nothing but add that bias. What is built is
compared with the bundle before anyone uses it.
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
    """open_clip's image tower with the weights of a bundle's graph.

    Raises ModelError where the manifest names no architecture, where the graph holds other weights
    than the tower has, or where the vectors differ.
    """
    if not bundle.architecture:
        raise ModelError(f"the bundle {bundle.folder} does not say its architecture")
    visual = build_visual(bundle.architecture)
    found = read_weights(bundle.folder / "image.onnx", (PREFIX,))
    _unfold(visual, found.named)
    fill(visual, found, f"the image tower of {bundle.name}")
    require_same_vectors(visual, bundle)
    return visual


def require_same_vectors(visual: nn.Module, bundle: Bundle) -> float:
    """The least cosine of the tower's and the bundle's vectors of 16 sample images; raises
    ModelError where it is below 0.9999.
    """
    pixels = np.stack([bundle.image.pixels(image) for image in sample_images()])
    encoder = OnnxEncoder(bundle, device="cpu")
    tower = ImageTower(visual, bundle.image, "fp32")
    least = 1.0
    for at in range(0, len(pixels), 4):
        with torch.inference_mode():
            ours = tower(torch.from_numpy(pixels[at : at + 4])).numpy()
        least = min(least, float((ours * encoder.encode_images(pixels[at : at + 4])).sum(1).min()))
    if not least >= MIN_COSINE:
        raise ModelError(
            f"the image tower of {bundle.name} in torch differs from its bundle (cosine "
            f"{least:.6f}, wanted {MIN_COSINE}): use --device cpu"
        )
    return least


def _unfold(visual: nn.Module, weights: Weights) -> None:
    """Give each normalisation that was folded into a convolution what leaves it that bias."""
    for norm, convolution in _folds(visual):
        bias = weights.pop(f"{convolution}{FOLDED}", None)
        if bias is None:
            continue  # said by `fill`, as one that is missing
        module = visual.get_submodule(norm)
        assert isinstance(module, nn.BatchNorm2d)
        weights |= {
            f"{norm}.weight": torch.ones_like(bias),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            # The square root of variance plus eps, which is divided by, is 1.
            f"{norm}.running_var": torch.full_like(bias, 1 - module.eps),
            f"{norm}.num_batches_tracked": torch.tensor(0),
        }


def _folds(visual: nn.Module) -> Iterator[tuple[str, str]]:
    """(normalisation, convolution before it), by name, in the order in which they are defined."""
    convolution = None
    for name, module in visual.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name
        elif isinstance(module, nn.BatchNorm2d) and convolution is not None:
            yield name, convolution
            convolution = None
