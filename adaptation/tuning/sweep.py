"""The way back: what is won and lost between the base model and the tuned one (WiSE-FT)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adaptation.data.examples import Examples
from adaptation.task import Targets
from adaptation.train import task_of
from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, Encoder
from indexer.images.decode import Limits

from .checkpoint import Weights
from .image_dataset import Images
from .trainer import Loop, Side
from .wise_ft import interpolate

ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))
# How much of accuracy on the old images may be lost at the chosen alpha.
LOST = 0.01


@dataclass(frozen=True)
class Old:
    """Labelled images whose zero-shot accuracy is to stay as it was `before`.

    text: `(classes, dim)`.
    """

    images: Images
    targets: Targets
    text: Embeddings
    before: float

    @classmethod
    def of(
        cls, examples: Examples, base: Bundle, encoder: Encoder, templates: Sequence[str] = ()
    ) -> "Old":
        """encoder: of the base model, whose class weights stay."""
        images = Images(examples.paths, base.image, Limits())
        text = task_of(examples, encoder, templates).text
        right = (examples.vectors @ text.T).argmax(axis=1) == examples.targets
        return cls(images, examples.targets, text, float(right.mean()))

    def accuracy(self, loop: Loop) -> float:
        """Of the loop's tower as it is."""
        cosines = loop.vectors(self.images).cpu().numpy() @ self.text.T
        return float((cosines.argmax(axis=1) == self.targets).mean())


def sweep(
    loop: Loop,
    start: Weights,
    end: Weights,
    held_out: Side,
    old: Old | None,
    on_note: Callable[[str], None],
) -> list[dict[str, float]]:
    """For each alpha the objective's gain on held-out images ("new") and accuracy on the old ones
    ("old"). Leaves the loop with some mixture.
    """
    found = []
    for alpha in ALPHAS:
        loop.load(interpolate(start, end, alpha))
        judged = loop.judge(held_out)
        figures = {"alpha": alpha, "new": judged[loop.objective.gain]}
        if old is not None:
            figures["old"] = old.accuracy(loop)
        found.append(figures)
        on_note(", ".join(f"{key} {value:.3g}" for key, value in figures.items()))
    return found


def chosen(found: list[dict[str, float]], before: float | None) -> float:
    """The alpha that is best on new images among those that lose little of the old, the least of
    equal ones; 0 where all lose more.

    before: accuracy of the base model on the old images, where there are any.
    """
    allowed = [one for one in found if before is None or before - one["old"] <= LOST + 1e-9]
    if not allowed:
        return ALPHAS[0]
    return max(allowed, key=lambda one: (one["new"], -one["alpha"]))["alpha"]
