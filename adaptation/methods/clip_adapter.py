"""CLIP-Adapter: a small bottleneck after the frozen image vectors, mixed with them.

    v' = ratio relu(W2 relu(W1 v)) + (1 - ratio) v,    logits = scale (v' / |v'|) T^t

Source: Gao et al., CLIP-Adapter: Better Vision-Language Models with Feature Adapters, IJCV 2023;
the ratio is searched on validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from adaptation.task import Fitted, Task, float32

RATIOS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class ClipAdapter:
    """A bottleneck trained by AdamW with cosine decay.

    Attributes:
        ratio: The share of the bottleneck's output in the vectors; None to choose it.
        reduction: The vectors' dimensions divided by the bottleneck's units. With 2, the trained
            parameters are 1.2 % of the built-in model's; with 1, more than 2 %.
        learning_rate: At the start.
        weight_decay: Of AdamW.
        epochs: Passes over the examples.
        batch_size: Examples per step.
    """

    name: ClassVar[str] = "clip-adapter"
    needs_torch: ClassVar[bool] = True
    ratio: float | None = None
    reduction: int = 2
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    epochs: int = 60
    batch_size: int = 64

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return an adapter for each of four ratios."""
        ratios = RATIOS if self.ratio is None else (self.ratio,)
        return [replace(self, ratio=ratio) for ratio in ratios]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def parameters(self, dim: int) -> int:
        """Return how many parameters are trained for vectors of `dim` dimensions."""
        return 2 * dim * max(1, dim // self.reduction)

    def fit(self, task: Task, seed: int) -> Fitted:
        """Train; the seed determines the initial weights and the order."""
        import torch
        from torch import nn

        from .batches import batches

        assert self.ratio is not None
        dim = task.vectors.shape[1]
        x, y = torch.from_numpy(task.vectors.copy()), torch.from_numpy(task.targets)
        weights = torch.from_numpy(task.logit_scale * task.text)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first = nn.Linear(dim, max(1, dim // self.reduction), bias=False)
            last = nn.Linear(max(1, dim // self.reduction), dim, bias=False)
        adapter = nn.Sequential(first, nn.ReLU(), last, nn.ReLU())
        optimizer = torch.optim.AdamW(
            adapter.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        steps = self.epochs * -(-len(y) // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for rows in batches(len(y), self.batch_size, self.epochs, seed):
            mixed = self.ratio * adapter(x[rows]) + (1 - self.ratio) * x[rows]
            logits = nn.functional.normalize(mixed, dim=1) @ weights.T
            loss = nn.functional.cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        arrays = float32(
            weights_in=first.weight.detach().numpy(),
            weights_out=last.weight.detach().numpy(),
            ratio=self.ratio,
            weights=weights.numpy(),
        )
        return Fitted("adapter", arrays)
