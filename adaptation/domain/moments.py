"""Deep CORAL and MMD: aligners whose penalty is a distance between both domains' features.

Sources: Sun and Saenko, Deep CORAL, ECCV 2016 workshops; Long et al., Learning Transferable
Features with Deep Adaptation Networks, ICML 2015 (MMD with several kernels).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .distance import BANDWIDTHS
from .penalised import Penalised
from .schedules import reversal_strength
from .shift import Aligned, Shift

if TYPE_CHECKING:
    from torch import Tensor

CORAL_STRENGTHS = (1.0, 10.0, 100.0)
MMD_STRENGTHS = (0.3, 1.0, 3.0)


@dataclass(frozen=True)
class CORAL(Penalised):
    """Features with equal covariances."""

    name: ClassVar[str] = "coral"
    strengths: ClassVar[tuple[float, ...]] = CORAL_STRENGTHS

    def fit(self, shift: Shift, seed: int) -> Aligned:
        """Train; the seed determines weights and order."""
        assert self.strength is not None
        return _fit(coral_loss, self.strength, self.steps, shift, seed)


@dataclass(frozen=True)
class MMD(Penalised):
    """Features with an equal mean in the space of a kernel."""

    name: ClassVar[str] = "mmd"
    strengths: ClassVar[tuple[float, ...]] = MMD_STRENGTHS

    def fit(self, shift: Shift, seed: int) -> Aligned:
        """Train; the seed determines weights and order."""
        assert self.strength is not None
        return _fit(mmd_loss, self.strength, self.steps, shift, seed)


def _fit(
    loss: "Callable[[Tensor, Tensor], Tensor]", strength: float, steps: int, shift: Shift, seed: int
) -> Aligned:
    from .network import Training, train_network

    def penalty(here: "Tensor", there: "Tensor", progress: float) -> "Tensor":
        # Features of the start say little about the classes: as with DANN, it grows.
        return strength * reversal_strength(progress) * loss(here, there)

    return train_network(shift, Training(steps=steps), penalty, seed)


def coral_loss(first: "Tensor", second: "Tensor") -> "Tensor":
    """Return |A - B|² / (4 dim²) for the covariances A, B of features `(n, dim)`, `(m, dim)`."""
    dim = first.shape[1]
    return (first.T.cov() - second.T.cov()).square().sum() / (4 * dim**2)


def mmd_loss(first: "Tensor", second: "Tensor") -> "Tensor":
    """Return the squared maximum mean discrepancy, at least 0, of `(n, dim)` and `(m, dim)`.

    The kernels are those of `distance.mmd`, with the median of these features; each one's kernel
    with itself counts, so it is a little larger.
    """
    import torch

    both, count = torch.cat([first, second]), len(first)
    squares = both.square().sum(dim=1)
    far = (squares[:, None] + squares - 2 * both @ both.T).clamp(min=0)
    rows, columns = torch.triu_indices(len(both), len(both), 1)
    median = far.detach()[rows, columns].median()
    kernels = [torch.exp(-far / (width * median)) for width in BANDWIDTHS]
    kernel = torch.stack(kernels).mean(dim=0)
    within = kernel[:count, :count].mean() + kernel[count:, count:].mean()
    return within - 2 * kernel[:count, count:].mean()
