"""A head compared with zero-shot on the same images, and how far both may be off by chance.

Shots of one scene are right or wrong together, so chance is counted over scenes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptation.data.checks import Finding

from .task import Scenes

# Standard errors: more than chance explains in 39 of 40 cases.
Z = 2.0
# With fewer scenes an accuracy is doubtful, more than 18 points either way in the middle.
MIN_SCENES = 30
# Of images of other places a fifth looked like the training images of Caltech-101 and groceries,
# and of shots of the same shelves three quarters.
MAX_KNOWN = 0.5


@dataclass(frozen=True)
class Comparison:
    """Accuracies on the same images.

    Attributes:
        on: What the images are, in words.
        images: How many there are.
        scenes: How many scenes they are of.
        accuracy: The head's, from 0 to 1.
        zero_shot: That of the class names alone.
        margin: How far the head's may be off by chance.
        below: Whether the head is below zero-shot by more than chance explains.
        known: The share of images that are of scenes that the head learned from.
    """

    on: str
    images: int
    scenes: int
    accuracy: float
    zero_shot: float
    margin: float
    below: bool
    known: float = 0.0

    def metrics(self) -> dict[str, Any]:
        """Return what a head's manifest keeps."""
        return {
            "images": self.images,
            "scenes": self.scenes,
            "accuracy": self.accuracy,
            "margin": self.margin,
            "zero_shot": self.zero_shot,
            "known_scenes": self.known,
        }

    def finding(self) -> Finding | None:
        """Return what is wrong with a head that its class names alone beat; None if they do not."""
        if not self.below:
            return None
        return Finding(
            "below-zero-shot",
            f"{self._figures()}: add examples, choose another --method, or label without a head "
            "(`clipdex label --labels`)",
        )

    def doubts(self) -> list[str]:
        """Return why the accuracy may mislead."""
        found = []
        if self.scenes < MIN_SCENES:
            found.append(
                f"the {self.on} are of {self.scenes:,} {'scene' if self.scenes == 1 else 'scenes'} "
                f"only, so their accuracy may be off by {100 * self.margin:.0f} points: "
                "images of other places and times make it surer"
            )
        if self.known > MAX_KNOWN:
            found.append(
                f"{self.known:.0%} of the {self.on} are of scenes that it was trained on, so their "
                "accuracy is too good: measure on images of other places and times"
            )
        if self.accuracy < self.zero_shot and not self.below:
            found.append(f"{self._figures()}, which may be chance")
        return found

    def _figures(self) -> str:
        return (
            f"the head is right on {self.accuracy:.1%} of {self.images:,} {self.on}, and "
            f"zero-shot, which needs no examples, on {self.zero_shot:.1%}"
        )


def compare(
    on: str,
    right: NDArray[np.bool_],
    zero_shot: NDArray[np.bool_],
    scenes: Scenes,
    *,
    known: float = 0.0,
) -> Comparison:
    """Compare a head with zero-shot.

    Args:
        on: What the images are, in words.
        right: `(n,)`, whether the head is right on each image.
        zero_shot: `(n,)`, whether zero-shot is.
        scenes: `(n,)`, equal for images of one scene.
        known: The share of images that are of scenes that the head learned from.
    """
    _, scene, sizes = np.unique(scenes, return_inverse=True, return_counts=True)
    accuracy = float(right.mean())
    # As many images would tell as much if no two were of one scene (Kish's effective size), with
    # two right and two wrong ones more (Agresti and Coull's interval).
    independent = len(right) ** 2 / float(np.square(sizes).sum())
    share = (accuracy * independent + 2) / (independent + 4)
    margin = Z * float(np.sqrt(share * (1 - share) / (independent + 4)))
    gains = np.bincount(scene, weights=right.astype(float) - zero_shot)
    below = bool(gains.sum() < -Z * np.sqrt(np.square(gains).sum()))
    return Comparison(
        on, len(right), len(sizes), accuracy, float(zero_shot.mean()), margin, below, known
    )
