"""Training objectives: classification by a linear head, or contrastive learning on captions."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from indexer.encoder import Embeddings
from search.evaluation.metrics import first_ranks, recall_at

from .text_tower import ClipText, Texts

Targets = NDArray[np.int64]
"""For classes `(n,)`, the number of each image's class; for captions `(n, most)`, the numbers of
each image's captions, padded with -1; for classes of two domains `(n, 2)`, the class, or -1, and
the domain.
"""

Metrics = dict[str, float]


class Objective(nn.Module, ABC):
    """A loss and its metrics. Its parameters, if it has any, are trained together with the tower.

    Attributes:
        separable: Whether a batch's loss is the mean of its images' losses.
        gain: The name of the metric that should rise.
    """

    separable: bool
    gain: str

    def towers(self) -> tuple[nn.Module, ...]:
        """Return the towers that are trained within the objective, layer by layer."""
        return ()

    def at(self, progress: float) -> None:
        """Prepare a step, at a progress of the run from 0 to 1; most objectives stay the same."""
        return

    @abstractmethod
    def sample(self, targets: Targets, random: np.random.Generator) -> torch.Tensor:
        """Return `(n,)`, what each image is compared with in this step."""

    @abstractmethod
    def loss(self, vectors: torch.Tensor, sampled: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch of unit vectors `(n, dim)`."""

    @abstractmethod
    def evaluate(self, vectors: torch.Tensor, targets: Targets) -> Metrics:
        """Return the metrics of held-out images, "held_out_loss" among them."""


class Classification(Objective):
    """A linear head and the cross-entropy of its logits."""

    separable = True
    gain = "held_out_accuracy"

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    def sample(self, targets: Targets, random: np.random.Generator) -> torch.Tensor:
        """Return the classes themselves."""
        return torch.from_numpy(targets)

    def loss(self, vectors: torch.Tensor, sampled: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch of unit vectors `(n, dim)`."""
        return functional.cross_entropy(self.head(vectors), sampled)

    def evaluate(self, vectors: torch.Tensor, targets: Targets) -> Metrics:
        """Return the cross-entropy and the accuracy."""
        own = torch.from_numpy(targets).to(vectors.device)
        logits = self.head(vectors).double()
        return {
            "held_out_loss": float(functional.cross_entropy(logits, own)),
            "held_out_accuracy": float((logits.argmax(dim=1) == own).double().mean()),
        }


class Contrastive(Objective):
    """The cross-entropy of finding an image's caption in the batch, and a caption's image.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
    ICML 2021; here with frozen caption vectors. Captions with equal text are one, and relevant to
    all images that they belong to.
    """

    separable = False
    gain = "held_out_mean_reciprocal_rank"
    captions: torch.Tensor

    def __init__(self, captions: Embeddings, scale: float) -> None:
        """Keep the captions' vectors.

        Args:
            captions: `(m, dim)`, by number.
            scale: The model's logit scale.
        """
        super().__init__()
        self.register_buffer("captions", torch.from_numpy(captions), persistent=False)
        self.scale = scale

    def sample(self, targets: Targets, random: np.random.Generator) -> torch.Tensor:
        """Return a random caption of each image."""
        counts = (targets >= 0).sum(axis=1)
        chosen = (random.random(len(targets)) * counts).astype(np.int64)
        return torch.from_numpy(targets[np.arange(len(targets)), chosen])

    def loss(self, vectors: torch.Tensor, sampled: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of both directions for unit vectors `(n, dim)`."""
        logits = self.scale * vectors @ self.caption_vectors(sampled).T
        return _both_ways(logits, (sampled[:, None] == sampled[None, :]).to(logits.dtype))

    def caption_vectors(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return `(n, dim)`, the unit vectors of captions by their numbers."""
        return self.captions[numbers]

    def evaluate(self, vectors: torch.Tensor, targets: Targets) -> Metrics:
        """Return the loss and the ranks among all of these images and their captions."""
        numbers = np.unique(targets[targets >= 0])
        right = (targets[:, :, None] == numbers).any(axis=1)
        scores = vectors @ self.caption_vectors(torch.from_numpy(numbers).to(vectors.device)).T
        relevant = torch.from_numpy(right).to(vectors.device)
        ranks = first_ranks(scores.T.cpu().numpy(), right.T)
        return {
            "held_out_loss": float(_both_ways(self.scale * scores, relevant.to(scores.dtype))),
            "held_out_mean_reciprocal_rank": float((1 / ranks).mean()),
            "held_out_recall_at_10": recall_at(ranks, 10),
        }


class MovingCaptions(Contrastive):
    """The same with a text tower that is trained, too.

    Attributes:
        text: The tower.
    """

    def __init__(self, text: ClipText, texts: Texts, scale: float, at_once: int) -> None:
        """Take the tower.

        Args:
            text: The text tower.
            texts: The captions, by number.
            scale: The model's logit scale.
            at_once: Captions whose activations are held at a time.
        """
        nn.Module.__init__(self)
        self.text, self.texts, self.scale, self.at_once = text, texts, scale, at_once

    def towers(self) -> tuple[nn.Module, ...]:
        """Return the text tower."""
        return (self.text.trained,)

    def caption_vectors(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return `(n, dim)`, the unit vectors of captions by their numbers.

        Activations are computed again in the backward pass, a part at a time.
        """
        rows = numbers.cpu().numpy()
        parts = []
        for start in range(0, len(rows), self.at_once):
            ids = self.texts.augmented(rows[start : start + self.at_once], seed=0, epoch=0)
            own = torch.from_numpy(ids).to(self.text.device)
            parts.append(checkpoint(self.text, own, use_reentrant=False))
        return torch.cat(parts)


def _both_ways(logits: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of rows and columns; relevant entries share the target."""
    rows = functional.cross_entropy(logits, right / right.sum(dim=1, keepdim=True))
    columns = functional.cross_entropy(logits.T, right.T / right.T.sum(dim=1, keepdim=True))
    return (rows + columns) / 2
