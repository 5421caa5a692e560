"""Tip-Adapter: zero-shot logits plus a cache of the examples; -F trains the cache's keys.

    logits = scale x T^t + alpha exp(-beta (1 - x K^t)) V

Source: Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV
2022; alpha and beta are searched on validation, F trains K by AdamW.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar, Self

from adaptation.model_selection import choose
from adaptation.task import Fitted, Task, float32

ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0)
BETAS = (1.0, 3.0, 6.0, 12.0, 24.0)


@dataclass(frozen=True)
class TipAdapter:
    """A cache of the examples.

    Attributes:
        alpha: The weight of the cache relative to zero-shot; None to choose it.
        beta: How fast an example's influence falls with distance; None to choose it.
    """

    name: ClassVar[str] = "tip-adapter"
    needs_torch: ClassVar[bool] = False
    alpha: float | None = None
    beta: float | None = None

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return a grid of both."""
        alphas = ALPHAS if self.alpha is None else (self.alpha,)
        betas = BETAS if self.beta is None else (self.beta,)
        return [replace(self, alpha=alpha, beta=beta) for alpha, beta in product(alphas, betas)]

    def refined(self, number: int) -> Sequence[Self]:
        """Return the neighbours at half the grid's step, once."""
        if number > 1 or self.alpha is None or self.beta is None:
            return ()
        step = 3**0.5
        return [
            *(replace(self, alpha=self.alpha * by) for by in (1 / step, step)),
            *(replace(self, beta=self.beta * by) for by in (1 / step, step)),
        ]

    def fit(self, task: Task, seed: int) -> Fitted:
        """Store the examples; the seed is not used."""
        assert self.alpha is not None
        assert self.beta is not None
        arrays = float32(
            weights=task.logit_scale * task.text,
            keys=task.vectors,
            values=task.one_hot(),
            alpha=self.alpha,
            beta=self.beta,
        )
        return Fitted("cache", arrays)


@dataclass(frozen=True)
class TipAdapterF(TipAdapter):
    """A cache whose keys are trained by AdamW with cosine decay, as in the paper.

    Attributes:
        learning_rate: At the start.
        epochs: Passes over the examples.
        batch_size: Examples per step.
    """

    name: ClassVar[str] = "tip-adapter-f"
    needs_torch: ClassVar[bool] = True
    learning_rate: float = 1e-3
    epochs: int = 20
    batch_size: int = 256

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return the settings that are best for Tip-Adapter, which needs no training."""
        found = choose(TipAdapter(self.alpha, self.beta), task, seed=0).method
        return [replace(self, alpha=found.alpha, beta=found.beta)]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Train the keys of Tip-Adapter's cache; the seed determines the order."""
        import torch

        from .batches import batches

        assert self.alpha is not None
        assert self.beta is not None
        start = super().fit(task, seed)
        weights, keys, values = (
            torch.from_numpy(start.arrays[name].copy()) for name in ("weights", "keys", "values")
        )
        x, y = torch.from_numpy(task.vectors.copy()), torch.from_numpy(task.targets)
        keys.requires_grad_()
        optimizer = torch.optim.AdamW([keys], lr=self.learning_rate, eps=1e-4)
        steps = self.epochs * -(-len(y) // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for rows in batches(len(y), self.batch_size, self.epochs, seed):
            affinity = torch.exp(-self.beta * (1 - x[rows] @ keys.T))
            logits = x[rows] @ weights.T + self.alpha * affinity @ values
            loss = torch.nn.functional.cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return replace(start, arrays={**start.arrays, "keys": keys.detach().numpy()})
