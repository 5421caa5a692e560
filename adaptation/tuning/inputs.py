"""What a run trains on and what it trains, as the training loop sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from adaptation.task import Rows
from indexer.encoder import Embeddings


class Inputs(Protocol):
    """Examples of one modality, as a tower takes them."""

    def augmented(self, rows: Rows, *, seed: int, epoch: int) -> NDArray[Any]:
        """Return the inputs of some examples as they are seen in an epoch of training."""

    def batches(self, size: int) -> Iterator[tuple[Rows, NDArray[Any]]]:
        """Yield the rows and inputs of all examples in order, `size` at a time."""


class Tower(Protocol):
    """Turns inputs into unit vectors `(n, dim)`."""

    @property
    def trained(self) -> nn.Module:
        """The module whose parameters move."""

    @property
    def device(self) -> torch.device:
        """Where it is."""

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Encode inputs."""


@dataclass(frozen=True)
class Stored:
    """Vectors `(n, dim)` of a tower that does not move."""

    vectors: Embeddings

    def augmented(self, rows: Rows, *, seed: int, epoch: int) -> Embeddings:
        """Return the vectors of some examples, which are always the same."""
        return self.vectors[rows]

    def batches(self, size: int) -> Iterator[tuple[Rows, Embeddings]]:
        """Yield the rows and vectors of all examples in order, `size` at a time."""
        for start in range(0, len(self.vectors), size):
            yield (
                np.arange(start, min(start + size, len(self.vectors))),
                self.vectors[start : start + size],
            )


@dataclass(frozen=True)
class StoredTower:
    """A tower that does not move, whose vectors are its inputs."""

    device: torch.device

    @property
    def trained(self) -> nn.Module:
        """Nothing."""
        return nn.Module()

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the vectors."""
        return inputs
