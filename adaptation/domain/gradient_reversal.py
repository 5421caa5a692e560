"""The gradient-reversal layer, and a domain classifier behind it.

Source: Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016, section 4.2.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

HIDDEN = 128


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(features: torch.Tensor, strength: float) -> torch.Tensor:
    """Return the features as they are; their gradient is multiplied by `-strength`."""
    reversed_features: torch.Tensor = _Reverse.apply(features, strength)
    return reversed_features


class DomainClassifier(nn.Module):
    """Learns to tell two domains apart, while the features learn that it cannot."""

    def __init__(self, dim: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logit `(n,)` that each of the features `(n, dim)` is of the target."""
        logits: torch.Tensor = self.layers(features)
        return logits.squeeze(1)

    def loss(self, source: torch.Tensor, target: torch.Tensor, strength: float) -> torch.Tensor:
        """Return the mean cross-entropy behind the gradient-reversal layer.

        Args:
            source: Features `(n, dim)`, which are trained against the classifier.
            target: Features `(m, dim)`, too; both domains count the same.
            strength: Of the reversal.
        """
        ours, theirs = (self(reverse_gradient(one, strength)) for one in (source, target))
        # -log(1 - p) of the source, -log(p) of the target.
        return (functional.softplus(ours).mean() + functional.softplus(-theirs).mean()) / 2
