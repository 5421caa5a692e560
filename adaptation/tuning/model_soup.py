"""Model soups: several tuned models averaged into one."""

from collections.abc import Sequence
from typing import Any

from indexer.bundles.bundle import Bundle
from indexer.errors import ModelError
from indexer.load import find_bundle
from indexer.weights.load_tower import obtain_tower
from indexer.weights.text_tower import obtain_text

from .save_model import keep_tuned, require_free
from .wise_ft import average


def merge(models: Sequence[Bundle], name: str) -> Bundle:
    """Average models that were tuned from one base, each tower that moved in one of them.

    Args:
        models: Two or more tuned models.
        name: What the average is called.

    Raises:
        ModelError: There are fewer than two models, or they were not tuned from one base.
    """
    require_free(name)
    bases = {model.tuned.get("base") for model in models}
    if len(models) < 2 or None in bases or len(bases) > 1:
        raise ModelError(
            "two or more models that `clipdex adapt tune` made from one base can be averaged; "
            f"these are {', '.join(model.name for model in models)}"
        )
    base = find_bundle(models[0].tuned["base_name"], models[0].tuned["base"])
    if base.fingerprint not in bases:
        raise ModelError(
            f"{base.name} is no longer the model that these were tuned from: add that one again "
            "with `clipdex models add` or `pull`"
        )
    moved = {model.tuned.get("towers", "image") for model in models}
    towers = "both" if len(moved) > 1 else moved.pop()
    metadata = {"merged": [model.fingerprint for model in models], "towers": towers}
    visual = None if towers == "text" else _averaged([obtain_tower(model) for model in models])
    text = None if towers == "image" else _averaged([obtain_text(model) for model in models])
    return keep_tuned(base, visual, name, metadata, text)


def _averaged(modules: Sequence[Any]) -> Any:
    """Return the first of several modules with the mean of their weights."""
    modules[0].load_state_dict(average([module.state_dict() for module in modules]))
    return modules[0]
