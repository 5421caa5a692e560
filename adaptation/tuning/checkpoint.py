"""A run's state on disk: one safetensors file, written beside and renamed."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

STATE = "state.safetensors"
# The header entry that holds the metadata, and what an earlier version called it.
HEADER, EARLIER_HEADER = "metadata", "facts"

Identity = dict[str, Any]
"""What must be equal for a run to be resumed: settings, and a key of data and model."""

Weights = dict[str, torch.Tensor]
Moments = dict[int, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class State:
    """A run's state.

    Attributes:
        metadata: Step, best loss and epoch, and history.
        weights: By name, as they are now.
        best_weights: By name, after the epoch with the best likelihood.
        moments: The optimizer's, by parameter.
    """

    metadata: dict[str, Any]
    weights: Weights
    best_weights: Weights
    moments: Moments


def write_state(
    folder: Path,
    identity: Identity,
    metadata: dict[str, Any],
    weights: Weights,
    best_weights: Weights,
    moments: Moments,
) -> None:
    """Write a run's state.

    Raises:
        OSError: The folder cannot be written; the previous state is kept.
    """
    tensors = {f"now.{name}": value for name, value in weights.items()}
    tensors |= {f"best.{name}": value.clone() for name, value in best_weights.items()}
    for number, own in moments.items():
        tensors |= {f"moments.{number}.{name}": v.clone().contiguous() for name, v in own.items()}
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{STATE}.new"
    try:
        save_file(tensors, str(beside), {HEADER: json.dumps({**metadata, **identity})})
    except SafetensorError as exc:  # raised for a full disk
        raise OSError(f"cannot write {beside}: {exc}") from exc
    os.replace(beside, folder / STATE)


def read_state(folder: Path, identity: Identity) -> State | None:
    """Return the state of a run of the same identity; None if there is none or it is damaged."""
    file = folder / STATE
    try:
        with safe_open(str(file), "pt") as opened:
            header = opened.metadata()
        metadata = json.loads(header[HEADER] if HEADER in header else header[EARLIER_HEADER])
        if {name: metadata[name] for name in identity} != identity:
            return None
        tensors = load_file(str(file))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError):
        return None
    moments: Moments = {}
    for name, value in tensors.items():
        if name.startswith("moments."):
            _, number, moment = name.split(".")
            moments.setdefault(int(number), {})[moment] = value
    weights, best = (
        {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        for prefix in ("now.", "best.")
    )
    return State(metadata, weights, best, moments)
