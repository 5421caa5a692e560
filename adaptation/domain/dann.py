"""DANN: features from which the classes can be read, and the domain cannot.

Source: Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016.
"""

from dataclasses import dataclass
from typing import ClassVar

from .penalised import Penalised
from .schedules import reversal_strength
from .shift import Aligned, Shift

# Their 1 is too much here: the classifier of the domain keeps up, and the features only grow.
STRENGTHS = (0.03, 0.1, 0.3)


@dataclass(frozen=True)
class DANN(Penalised):
    """A domain classifier behind a gradient-reversal layer."""

    name: ClassVar[str] = "dann"
    strengths: ClassVar[tuple[float, ...]] = STRENGTHS

    def fit(self, shift: Shift, seed: int) -> Aligned:
        """Train; the seed determines weights and order."""
        import torch

        from .gradient_reversal import DomainClassifier
        from .network import Training, train_network

        assert self.strength is not None
        training, strength = Training(steps=self.steps), self.strength
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            classifier = DomainClassifier(training.hidden)

        def penalty(here: torch.Tensor, there: torch.Tensor, progress: float) -> torch.Tensor:
            now = strength * reversal_strength(progress)
            return classifier.loss(here, there, now)

        return train_network(shift, training, penalty, seed, classifier)
