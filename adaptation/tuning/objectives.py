"""What a tower is trained for: to tell classes apart, or to lie close to its images' captions."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from indexer.encoder import Embeddings
from search.evaluation.metrics import first_ranks, recall_at

Targets = NDArray[np.int64]
"""Of classes `(n,)`, the number of each image's class; of captions `(n, most)`, the numbers of
each image's captions, then -1.
"""

Figures = dict[str, float]


class Objective(nn.Module, ABC):
    """Its parameters, if it has any, learn beside the tower.

    separable: whether a batch's loss is the mean of its images' own. gain: the name of the figure
    that is to rise.
    """

    separable: bool
    gain: str

    @abstractmethod
    def drawn(self, targets: Targets, random: np.random.Generator) -> torch.Tensor:
        """`(n,)`: what each image is compared with this time."""

    @abstractmethod
    def loss(self, vectors: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """The mean over a batch of unit vectors `(n, dim)`."""

    @abstractmethod
    def judge(self, vectors: torch.Tensor, targets: Targets) -> Figures:
        """Figures of held-out images: "held_out_loss" and others."""


class Classification(Objective):
    """A linear head and the cross-entropy of its logits."""

    separable = True
    gain = "held_out_accuracy"

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    def drawn(self, targets: Targets, random: np.random.Generator) -> torch.Tensor:
        """The classes themselves."""
        return torch.from_numpy(targets)

    def loss(self, vectors: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """The mean over a batch of unit vectors `(n, dim)`."""
        return functional.cross_entropy(self.head(vectors), drawn)

    def judge(self, vectors: torch.Tensor, targets: Targets) -> Figures:
        """The likelihood, and the share whose class has the highest logit."""
        own = torch.from_numpy(targets).to(vectors.device)
        logits = self.head(vectors).double()
        return {
            "held_out_loss": float(functional.cross_entropy(logits, own)),
            "held_out_accuracy": float((logits.argmax(dim=1) == own).double().mean()),
        }


class Contrastive(Objective):
    """Images and captions of a batch are told to find each other, both ways.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
    ICML 2021; the captions' vectors stay. Captions that read the same are one, and right for all
    images that they belong to.
    """

    separable = False
    gain = "held_out_mean_reciprocal_rank"
    captions: torch.Tensor

    def __init__(self, captions: Embeddings, scale: float) -> None:
        """captions: `(m, dim)`, by number. scale: the model's own, of cosines."""
        super().__init__()
        self.register_buffer("captions", torch.from_numpy(captions), persistent=False)
        self.scale = scale

    def drawn(self, targets: Targets, random: np.random.Generator) -> torch.Tensor:
        """One of each image's captions."""
        counts = (targets >= 0).sum(axis=1)
        chosen = (random.random(len(targets)) * counts).astype(np.int64)
        return torch.from_numpy(targets[np.arange(len(targets)), chosen])

    def loss(self, vectors: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """The mean of both directions' cross-entropies over a batch of unit vectors `(n, dim)`."""
        logits = self.scale * vectors @ self.captions[drawn].T
        return _both_ways(logits, (drawn[:, None] == drawn[None, :]).to(logits.dtype))

    def judge(self, vectors: torch.Tensor, targets: Targets) -> Figures:
        """Likelihood and ranks among all of these images and their captions."""
        numbers = np.unique(targets[targets >= 0])
        right = (targets[:, :, None] == numbers).any(axis=1)
        scores = vectors @ self.captions[torch.from_numpy(numbers).to(vectors.device)].T
        relevant = torch.from_numpy(right).to(vectors.device)
        ranks = first_ranks(scores.T.cpu().numpy(), right.T)
        return {
            "held_out_loss": float(_both_ways(self.scale * scores, relevant.to(scores.dtype))),
            "held_out_mean_reciprocal_rank": float((1 / ranks).mean()),
            "held_out_recall_at_10": recall_at(ranks, 10),
        }


def _both_ways(logits: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy of rows and of columns; several right ones share what is right."""
    rows = functional.cross_entropy(logits, right / right.sum(dim=1, keepdim=True))
    columns = functional.cross_entropy(logits.T, right.T / right.T.sum(dim=1, keepdim=True))
    return (rows + columns) / 2
