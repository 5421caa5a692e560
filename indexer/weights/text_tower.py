"""Restores a text tower in torch, from a bundle's graph or from what that was compiled from.

It comes as open_clip's model with a minimal image tower, since CLIP's own text tower is the model
itself (`onnx_export.text_part`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_texts
from indexer.compile.onnx_export import text_part
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import ModelError
from indexer.openclip.loader import build

from .from_onnx import fill, read_weights
from .load_tower import load_source

# A minimal image tower, since open_clip always builds both towers.
NO_IMAGES = {"image_size": 32, "layers": 1, "width": 8, "head_width": 8, "patch_size": 32}
# What the exporter calls the text tower, cut to a text's length or not.
PREFIXES = ("tower.", "model.text.", "model.")
MIN_COSINE = 0.9999

Report = Callable[[str], None]


def obtain_text(bundle: Bundle, on_progress: Report = lambda line: None) -> Any:
    """Return open_clip's model with the bundle's text tower, on the CPU, in float32.

    Its image tower is not to be used.

    Args:
        bundle: The compiled model.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelError: The weights cannot be found, or their vectors differ from the bundle's.
    """
    try:
        return text_from_graph(bundle)
    except ModelError as exc:
        model = load_source(bundle, exc, on_progress).model
        require_same_texts(model, bundle)
        return model


def text_from_graph(bundle: Bundle) -> Any:
    """Return open_clip's model with the weights of the bundle's text graph.

    Raises:
        ModelError: The graph's weights do not fit the tower, or the vectors differ.
    """
    if not bundle.architecture:
        raise ModelError(f"the bundle {bundle.folder} does not name its architecture")
    model = build({**bundle.architecture, "vision_cfg": NO_IMAGES}, {})
    model.eval()
    tower = text_part(model)
    found = read_weights(bundle.folder / "text.onnx", PREFIXES)
    rest = {
        name: one
        for name, one in model.state_dict().items()
        if name.startswith(("visual.", "logit_"))
    }
    if tower is model:
        found.named |= rest
    elif not all(name.startswith("text.") for name in model.state_dict().keys() - rest.keys()):
        raise ModelError(f"{bundle.name} has more than the two towers that its bundle holds")
    fill(tower, found, f"the text tower of {bundle.name}")
    with torch.no_grad():
        model.logit_scale.fill_(float(np.log(bundle.logit_scale)))
        if bundle.logit_bias is not None and getattr(model, "logit_bias", None) is not None:
            model.logit_bias.fill_(bundle.logit_bias)
    require_same_texts(model, bundle)
    return model


def require_same_texts(model: Any, bundle: Bundle) -> float:
    """Compare a model with a bundle on 64 sample texts.

    Returns:
        The minimum cosine of their vectors.

    Raises:
        ModelError: The cosine is below 0.9999.
    """
    encoder = OnnxEncoder(bundle, device="cpu")
    texts = sample_texts()
    ids = torch.from_numpy(encoder.tokenizer(texts, cut=False))
    with torch.inference_mode():
        parts = [model.encode_text(part, normalize=True).numpy() for part in ids.split(16)]
    minimum = float((np.concatenate(parts) * encoder.encode_texts(texts)).sum(1).min())
    if not minimum >= MIN_COSINE:
        raise ModelError(
            f"the text tower of {bundle.name} in torch differs from its bundle (cosine "
            f"{minimum:.6f}, minimum {MIN_COSINE})"
        )
    return minimum
