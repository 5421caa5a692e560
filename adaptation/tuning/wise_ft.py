"""Interpolation between two models' weights, and the average of several.

Sources: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (interpolation); Model
soups, ICML 2022 (averages).
"""

from collections.abc import Mapping, Sequence

import torch

State = Mapping[str, torch.Tensor]


def interpolate(start: State, tuned: State, alpha: float) -> dict[str, torch.Tensor]:
    """Return `(1 - alpha) start + alpha tuned`, entry by entry.

    Entries that are not floating-point numbers (counts of batches) are the tuned model's.

    Raises:
        ValueError: The states are of different models.
    """
    _require_alike(start, tuned)
    return {
        name: torch.lerp(start[name], tuned[name], alpha)
        if tuned[name].is_floating_point()
        else tuned[name].clone()
        for name in tuned
    }


def average(states: Sequence[State]) -> dict[str, torch.Tensor]:
    """Return the mean of the weights of several runs from one start.

    Raises:
        ValueError: There are no states, or they are of different models.
    """
    if not states:
        raise ValueError("there is nothing to average")
    for state in states[1:]:
        _require_alike(states[0], state)
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(first.dtype)
        if first.is_floating_point()
        else first.clone()
        for name, first in states[0].items()
    }


def _require_alike(first: State, second: State) -> None:
    shapes = [{name: tuple(one.shape) for name, one in state.items()} for state in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError("these are weights of different models")
