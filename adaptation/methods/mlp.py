"""A head with one hidden layer: linear, ReLU, dropout, linear, trained by AdamW."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from adaptation.task import Fitted, Task, float32

DECAYS = (1e-3, 1e-2, 1e-1)


@dataclass(frozen=True)
class MLP:
    """A network trained by AdamW with cosine decay.

    Attributes:
        hidden: Units of the hidden layer.
        dropout: The share of units that is dropped in each step.
        weight_decay: Of AdamW; None to choose it.
        learning_rate: At the start.
        epochs: Passes over the examples.
        batch_size: Examples per step.
    """

    name: ClassVar[str] = "mlp"
    needs_torch: ClassVar[bool] = True
    hidden: int = 512
    dropout: float = 0.5
    weight_decay: float | None = None
    learning_rate: float = 1e-3
    epochs: int = 60
    batch_size: int = 64

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return a network for each of three weight decays."""
        decays = DECAYS if self.weight_decay is None else (self.weight_decay,)
        return [replace(self, weight_decay=decay) for decay in decays]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Train; the seed determines initial weights, order and dropout."""
        import torch
        from torch import nn

        from .batches import batches

        assert self.weight_decay is not None
        dim = task.vectors.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first, last = nn.Linear(dim, self.hidden), nn.Linear(self.hidden, task.classes)
            model = nn.Sequential(first, nn.ReLU(), nn.Dropout(self.dropout), last)
            # Entries of unit vectors have size dim ** -0.5; layers are initialized for size 1.
            x = torch.from_numpy(task.vectors * dim**0.5)
            y = torch.from_numpy(task.targets)
            optimizer = torch.optim.AdamW(
                model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
            )
            steps = self.epochs * -(-len(y) // self.batch_size)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for rows in batches(len(y), self.batch_size, self.epochs, seed):
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        arrays = {
            "weights_in": first.weight * dim**0.5,
            "bias_in": first.bias,
            "weights_out": last.weight,
            "bias_out": last.bias,
        }
        return Fitted("mlp", float32(**{name: a.detach().numpy() for name, a in arrays.items()}))
