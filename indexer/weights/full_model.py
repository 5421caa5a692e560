"""A compiled model as open_clip has it, both towers in one, whatever it was compiled from."""

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
    """open_clip's model on the CPU, in float32 and evaluation mode.

    Its towers are what `obtain_tower` and `obtain_text` find; a model of more than two towers comes
    from what the bundle was compiled from. Raises ModelError where it is nowhere to be had, or
    gives other vectors than the bundle.
    """
    if bundle.quantized:
        raise ModelError(
            f"{bundle.name} computes in 8-bit integers, which open_clip has no weights for: take "
            "the model that it was made from"
        )
    try:
        return _joined(bundle, on_progress)  # of towers that were compared when they were taken
    except ModelError as exc:
        model = load_source(bundle, exc, on_progress).model
        model.eval()
    require_same_vectors(model.visual, bundle)
    return model


def preprocess_settings(image: Preprocess) -> dict[str, Any]:
    """open_clip's `preprocess_cfg`."""
    return {**image.to_json(), "mode": "RGB"}


def _joined(bundle: Bundle, on_progress: Report) -> Any:
    if not bundle.architecture:
        raise ModelError(f"the bundle {bundle.folder} does not say its architecture")
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
