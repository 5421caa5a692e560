"""Model soups: several tuned models averaged into one."""

from collections.abc import Sequence

from indexer.bundles.bundle import Bundle
from indexer.errors import ModelError
from indexer.load import find_bundle
from indexer.weights.load_tower import obtain_tower

from .save_model import keep_tuned, require_free
from .wise_ft import average


def merge(models: Sequence[Bundle], name: str) -> Bundle:
    """Average image towers that were tuned from one base into a model of its own.

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
    towers = [obtain_tower(model) for model in models]
    merged = average([tower.state_dict() for tower in towers])
    towers[0].load_state_dict(merged)
    metadata = {"merged": [model.fingerprint for model in models]}
    return keep_tuned(base, towers[0], name, metadata)
