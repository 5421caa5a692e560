"""A Siamese network: a projection in which images of one class lie close together.

Both branches share one linear map of the frozen vectors, followed by normalization. The loss of a
pair of one class is its squared distance; that of a pair of two classes is the square of what its
distance lacks to the margin.

Source: Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, CVPR
2006. As a classifier it takes the nearest class mean in the projection; as a verifier (are these
two of one class?) it also works for classes that it has never seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from adaptation.task import Fitted, Rows, Targets, Task, float32
from indexer.encoder import Embeddings, unit


@dataclass(frozen=True)
class Siamese:
    """A projection trained by AdamW on all pairs of a batch.

    Attributes:
        size: The dimensions of the projection, at most the vectors' own.
        margin: The distance from which a pair of two classes has no loss, at most 2.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        steps: How many batches; None to choose it.
        batch_size: Examples per batch.
    """

    name: ClassVar[str] = "siamese"
    needs_torch: ClassVar[bool] = True
    size: int = 256
    margin: float = 1.0
    learning_rate: float = 3e-5
    weight_decay: float = 1e-3
    steps: int | None = None
    batch_size: int = 128

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return short and long training; the longer, the worse for classes not seen."""
        steps = (30, 100, 300) if self.steps is None else (self.steps,)
        return [replace(self, steps=one) for one in steps]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Train from the principal directions, which nearly keep the encoder's distances."""
        import torch

        assert self.steps is not None
        projection = torch.from_numpy(_principal(task.vectors, self.size)).requires_grad_()
        x, y = torch.from_numpy(task.vectors.copy()), torch.from_numpy(task.targets)
        optimizer = torch.optim.AdamW(
            [projection], lr=self.learning_rate, weight_decay=self.weight_decay
        )
        random = np.random.default_rng(seed)
        for _ in range(self.steps):
            rows = _balanced(task.targets, self.batch_size, random)
            seen = torch.nn.functional.normalize(x[rows] @ projection.T, dim=1)
            distance = (2 - 2 * (seen @ seen.T)).clamp(min=1e-8).sqrt()
            same = (y[rows][:, None] == y[rows]).float()
            pairs = 1 - torch.eye(len(rows))
            near = (same * pairs * distance.square()).sum() / (same * pairs).sum().clamp(min=1)
            apart = (self.margin - distance).clamp(min=0).square()
            far = ((1 - same) * apart).sum() / (1 - same).sum().clamp(min=1)
            optimizer.zero_grad()
            (near + far).backward()
            optimizer.step()
        learned = projection.detach().numpy()
        seen_means = Task(unit(task.vectors @ learned.T), task.targets, task.text, 1.0).means()
        arrays = float32(projection=learned, means=unit(seen_means), scale=task.logit_scale)
        return Fitted("projected", arrays)


def _principal(vectors: Embeddings, size: int) -> Embeddings:
    """Return `(size, dim)`, the first right singular vectors."""
    _, _, directions = np.linalg.svd(vectors, full_matrices=False)
    return np.ascontiguousarray(directions[:size], dtype=np.float32)


def _balanced(targets: Targets, size: int, random: np.random.Generator) -> Rows:
    """Return about `size` rows, four of each of some random classes, so that classes repeat."""
    classes = random.permutation(np.unique(targets))[: max(2, size // 4)]
    return np.concatenate(
        [random.permutation(np.flatnonzero(targets == one))[:4] for one in classes]
    )
