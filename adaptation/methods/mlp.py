"""A head with one hidden layer: linear, ReLU, dropout, linear, trained by AdamW."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from adaptation.task import Fitted, Task, float32

DECAYS = (1e-3, 1e-2, 1e-1)


@dataclass(frozen=True)
class MLP:
    """hidden: units. dropout: their share left out at each step. weight_decay: None: chosen.
    learning_rate, epochs, batch_size: of AdamW with cosine decay.
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
        """Three weight decays."""
        decays = DECAYS if self.weight_decay is None else (self.weight_decay,)
        return [replace(self, weight_decay=decay) for decay in decays]

    def refined(self, number: int) -> Sequence[Self]:
        """None."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Weights drawn, shuffled and dropped as the seed says."""
        import torch
        from torch import nn

        from .batches import batches

        assert self.weight_decay is not None
        dim = task.vectors.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first, last = nn.Linear(dim, self.hidden), nn.Linear(self.hidden, task.classes)
            model = nn.Sequential(first, nn.ReLU(), nn.Dropout(self.dropout), last)
            # Entries of unit vectors are of size dim ** -0.5; layers are drawn for size 1.
            x = torch.from_numpy(task.vectors * dim**0.5)
            y = torch.from_numpy(task.targets)
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
            )
            steps = self.epochs * -(-len(y) // self.batch_size)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
            for rows in batches(len(y), self.batch_size, self.epochs, seed):
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        arrays = {
            "weights_in": first.weight * dim**0.5,
            "bias_in": first.bias,
            "weights_out": last.weight,
            "bias_out": last.bias,
        }
        return Fitted("mlp", float32(**{name: a.detach().numpy() for name, a in arrays.items()}))
