"""Rebuilds open_clip's model, with both towers, from a compiled one."""

from collections.abc import Callable
from typing import Any

from indexer.bundles.bundle import Bundle
from indexer.errors import ModelError
from indexer.images.preprocess import Preprocess
from indexer.openclip.loader import build

from .image_tower import require_same_vectors
from .load_tower import load_source, obtain_tower
from .text_tower import obtain_text

Report = Callable[[str], None]


def obtain_model(bundle: Bundle, on_progress: Report = lambda line: None) -> Any:
    """Return open_clip's model on the CPU, in float32 and evaluation mode.

    Its towers are those of `obtain_tower` and `obtain_text`; a model with more than two towers is
    loaded from what the bundle was compiled from.

    Args:
        bundle: The compiled model.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelError: The weights cannot be found, or their vectors differ from the bundle's.
    """
    if bundle.quantized:
        raise ModelError(
            f"{bundle.name} computes in 8-bit integers, for which open_clip has no weights: use "
            "the model that it was made from"
        )
    try:
        return _joined(bundle, on_progress)  # both towers were compared when they were restored
    except ModelError as exc:
        model = load_source(bundle, exc, on_progress).model
        model.eval()
    require_same_vectors(model.visual, bundle)
    return model


def preprocess_settings(image: Preprocess) -> dict[str, Any]:
    """Return open_clip's `preprocess_cfg` for image settings."""
    return {**image.to_json(), "mode": "RGB"}


def _joined(bundle: Bundle, on_progress: Report) -> Any:
    if not bundle.architecture:
        raise ModelError(f"the bundle {bundle.folder} does not name its architecture")
    text = obtain_text(bundle, on_progress).state_dict()
    model = build(bundle.architecture, preprocess_settings(bundle.image))
    model.eval()
    images = obtain_tower(bundle, on_progress).state_dict()
    weights = {
        **{name: one for name, one in text.items() if not name.startswith("visual.")},
        **{f"visual.{name}": one for name, one in images.items()},
    }
    model.load_state_dict(weights, strict=True)
    return model
