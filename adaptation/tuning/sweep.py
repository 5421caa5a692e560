"""WiSE-FT: what is gained and lost between the base model and the tuned one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adaptation.data.examples import Examples
from adaptation.task import Targets
from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, Encoder, unit
from indexer.images.decode import Limits
from indexer.tokenizers.load import load_tokenizer
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors

from .checkpoint import Weights
from .image_dataset import Images
from .inputs import Inputs, Stored
from .objectives import MovingCaptions
from .text_tower import Texts, encode
from .trainer import Split, Trainer
from .wise_ft import interpolate

ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))
# How much accuracy on the old images may be lost at the chosen alpha.
MAX_LOST = 0.01


@dataclass(frozen=True)
class Old:
    """Labelled images whose zero-shot accuracy must not suffer.

    Attributes:
        images: The images, or their vectors where the image tower does not move.
        targets: `(n,)`, their classes.
        text: `(classes, dim)`, the zero-shot weights of the base model.
        prompts: The texts of the classes, for a text tower that moves: as many of each.
        before: The accuracy of the base model.
    """

    images: Inputs
    targets: Targets
    text: Embeddings
    prompts: Texts
    before: float

    @classmethod
    def of(
        cls,
        examples: Examples,
        base: Bundle,
        encoder: Encoder,
        templates: Sequence[str] = (),
        towers: str = "image",
    ) -> "Old":
        """Measure the base model, whose encoder is given, on examples."""
        images: Inputs = Images(examples.paths, base.image, Limits())
        if towers == "text":
            images = Stored(examples.vectors)
        templates = templates or DEFAULT_TEMPLATES
        text = class_vectors(encoder, examples.classes, templates)
        texts = [one.replace("{}", label) for label in examples.classes for one in templates]
        ids = load_tokenizer(base)(texts)
        prompts = Texts(ids, base.text.pad, base.text.cut)
        right = (examples.vectors @ text.T).argmax(axis=1) == examples.targets
        return cls(images, examples.targets, text, prompts, float(right.mean()))

    def accuracy(self, trainer: Trainer) -> float:
        """Return the zero-shot accuracy of the trainer's towers as they are."""
        text = self.text
        if isinstance(trainer.objective, MovingCaptions):
            vectors = encode(trainer.objective.text, self.prompts)
            text = unit(vectors.reshape(len(text), -1, vectors.shape[1]).mean(axis=1))
        cosines = trainer.vectors(self.images).cpu().numpy() @ text.T
        return float((cosines.argmax(axis=1) == self.targets).mean())


def sweep(
    trainer: Trainer,
    start: Weights,
    end: Weights,
    held_out: Split,
    old: Old | None,
    on_note: Callable[[str], None],
) -> list[dict[str, float]]:
    """Measure mixtures of the weights `start` and `end`.

    Args:
        trainer: Evaluates them; left with some mixture.
        start: The base model's weights.
        end: The tuned weights.
        held_out: Images of the new task.
        old: Images of the old task, if there are any.
        on_note: Is called with each result.

    Returns:
        For each alpha the objective's gain on held-out images ("new") and, where there are old
        images, the accuracy on these ("old").
    """
    found = []
    for alpha in ALPHAS:
        trainer.load(interpolate(start, end, alpha))
        evaluated = trainer.evaluate(held_out)
        metrics = {"alpha": alpha, "new": evaluated[trainer.objective.gain]}
        if old is not None:
            metrics["old"] = old.accuracy(trainer)
        found.append(metrics)
        on_note(", ".join(f"{key} {value:.3g}" for key, value in metrics.items()))
    return found


def chosen(found: list[dict[str, float]], before: float | None) -> float:
    """Return the alpha that is best on new images among those that lose little on the old ones.

    Args:
        found: What `sweep` returned.
        before: The accuracy of the base model on the old images, if there are any.

    Returns:
        The smallest of equally good ones; 0 where every alpha loses more.
    """
    allowed = [one for one in found if before is None or before - one["old"] <= MAX_LOST + 1e-9]
    if not allowed:
        return ALPHAS[0]
    return max(allowed, key=lambda one: (one["new"], -one["alpha"]))["alpha"]
