"""Aligners whose network is trained with a penalty, the weight of which is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self


@dataclass(frozen=True)
class Penalised:
    """The settings that such aligners share.

    Attributes:
        strength: The weight of the penalty at the end; None to choose it.
        steps: Of the training.
    """

    needs_torch: ClassVar[bool] = True
    aligns: ClassVar[bool] = True
    strengths: ClassVar[tuple[float, ...]]
    strength: float | None = None
    steps: int = 600

    def candidates(self) -> Sequence[Self]:
        """Return one setting for each of the strengths to try, the most cautious first."""
        strengths = self.strengths if self.strength is None else (self.strength,)
        return [replace(self, strength=strength) for strength in strengths]
