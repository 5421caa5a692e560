"""From labelled pictures to a tuned model, and as little of the old one lost as can be."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from indexer.bundle import Bundle
from indexer.decode import Limits
from indexer.digest import digest
from indexer.encoder import Encoder
from indexer.errors import ExamplesError
from indexer.kept_tower import obtain_tower
from indexer.picture_tower import PictureTower

from ..choice import choose
from ..examples import Examples
from ..near_duplicates import near_duplicates
from ..splits import folds, group_pairs
from ..task import Task
from ..training import task_of
from ..zero_shot_probe import ZeroShotProbe
from .bundles import keep_tuned, require_free
from .loop import STATE, Loop, Side
from .lora import add_lora, merge_lora
from .pictures import Pictures
from .settings import Tuning
from .wise_ft import interpolate

ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))
# How much of accuracy on the old pictures may be lost at the chosen alpha.
LOST = 0.01

Report = Callable[[str], None]


@dataclass
class Tuned:
    """bundle: the model, compiled. epochs: figures of each. sweep: by alpha, accuracy on held-out
    examples ("new") and zero-shot on the old pictures ("old").
    """

    bundle: Bundle
    alpha: float
    epochs: list[dict[str, float]] = field(default_factory=list)
    sweep: list[dict[str, float]] = field(default_factory=list)


def tune(
    base: Bundle,
    encoder: Encoder,
    examples: Examples,
    settings: Tuning,
    name: str,
    folder: Path,
    *,
    old: Examples | None = None,
    templates: Sequence[str] = (),
    on_note: Report = lambda line: None,
) -> Tuned:
    """Head first, then head and tower; then the way back towards the base model (WiSE-FT), as far
    as held-out examples gain and old pictures do not lose.

    encoder: of `base`. old: labelled pictures whose zero-shot accuracy is to stay. folder: keeps
    the run's state and log; a run of the same settings that was cut off goes on there.
    Raises ExamplesError where nothing can be held out, ModelError for the name of another model.
    """
    require_free(name)
    pairs = near_duplicates(examples.vectors, examples.paths)
    groups = group_pairs(len(examples.targets), pairs)
    parts = folds(examples.targets, settings.seed, groups=groups)
    if not parts:
        raise ExamplesError("each class needs two examples or more: one is held out")
    task = task_of(examples, encoder, templates)
    limits = Limits()
    training, held_out = (
        Side(
            Pictures([examples.paths[row] for row in rows], base.image, limits),
            examples.targets[rows],
        )
        for rows in parts[0]
    )
    torch.manual_seed(settings.seed)
    visual = obtain_tower(base)
    start = copy.deepcopy(visual.state_dict())
    if settings.method == "lora":
        learnt = add_lora(visual, settings.rank, settings.alpha)
        on_note(f"{sum(p.numel() for p in learnt):,} parameters of the tower learn")
    tower = PictureTower(visual, base.image, "fp32")
    head = _head(task.subset(parts[0][0]))
    steps = -(-len(training.targets) // settings.batch_size)
    loop = Loop(tower, head, settings, folder, steps=steps, key=_key(base, examples))
    first = copy.deepcopy(head.state_dict())
    for figures in loop.run(training, held_out):
        on_note(
            f"epoch {figures['epoch']:.0f}: loss {figures['loss']:.3f}, held out "
            f"{figures['held_out_loss']:.3f}, {figures['held_out_accuracy']:.1%} right"
        )
    merge_lora(visual)
    sweep = _sweep(
        loop, (start, first), held_out, _old_side(old, base, encoder, templates), on_note
    )
    chosen = _chosen(sweep)
    _mix(loop, (start, first), (visual.state_dict(), head.state_dict()), chosen)
    bundle = keep_tuned(base, visual, name)
    (folder / STATE).unlink(missing_ok=True)
    return Tuned(bundle, chosen, loop.history, sweep)


def _key(base: Bundle, examples: Examples) -> str:
    """Alike for the same pictures, classes and model."""
    facts = [base.fingerprint, *examples.classes, str(examples.targets.tolist())]
    return digest("\n".join(facts).encode() + b"".join(examples.digests)).hex()


def facts_of(tuned: Tuned, settings: Tuning) -> dict[str, object]:
    """What a head's manifest says of the run."""
    return {
        "tuning": asdict(settings),
        "alpha": tuned.alpha,
        "epochs": tuned.epochs,
        "sweep": tuned.sweep,
    }


def _head(task: Task) -> nn.Linear:
    """Phase one: the zero-shot probe's optimum on the frozen tower."""
    fitted = choose(ZeroShotProbe(), task, 0).method.fit(task, 0)
    head = nn.Linear(task.vectors.shape[1], task.classes)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.arrays["weights"]))
        head.bias.copy_(torch.from_numpy(fitted.arrays["bias"]))
    return head


Weights = dict[str, torch.Tensor]


def _old_side(
    old: Examples | None, base: Bundle, encoder: Encoder, templates: Sequence[str]
) -> tuple[Pictures, np.ndarray, torch.Tensor] | None:
    if old is None:
        return None
    pictures = Pictures(old.paths, base.image, Limits())
    return pictures, old.targets, torch.from_numpy(task_of(old, encoder, templates).text)


def _sweep(
    loop: Loop,
    start: tuple[Weights, Weights],
    held_out: Side,
    old: tuple[Pictures, np.ndarray, torch.Tensor] | None,
    on_note: Report,
) -> list[dict[str, float]]:
    """Figures at each alpha; the loop's modules are left as they were."""
    end = copy.deepcopy((loop.tower.visual.state_dict(), loop.head.state_dict()))
    found = []
    for alpha in ALPHAS:
        _mix(loop, start, end, alpha)
        right = loop.logits(held_out.pictures).argmax(axis=1) == held_out.targets
        figures = {"alpha": alpha, "new": float(right.mean())}
        if old is not None:
            pictures, targets, text = old
            kept = []
            with torch.inference_mode():
                for _, pixels in pictures.batches(loop.settings.at_once):
                    kept.append((loop.tower(torch.from_numpy(pixels)) @ text.T).argmax(1).numpy())
            figures["old"] = float((np.concatenate(kept) == targets).mean())
        found.append(figures)
        on_note(", ".join(f"{key} {value:.3g}" for key, value in figures.items()))
    _mix(loop, start, end, 1.0)
    return found


def _mix(
    loop: Loop, start: tuple[Weights, Weights], end: tuple[Weights, Weights], alpha: float
) -> None:
    loop.tower.visual.load_state_dict(interpolate(start[0], end[0], alpha))
    loop.head.load_state_dict(interpolate(start[1], end[1], alpha))


def _chosen(sweep: list[dict[str, float]]) -> float:
    """The alpha that is best on new pictures among those that lose little of the old, the least of
    equal ones.
    """
    before = sweep[0].get("old")
    allowed = [one for one in sweep if before is None or before - one["old"] <= LOST + 1e-9]
    return max(allowed, key=lambda one: (one["new"], -one["alpha"]))["alpha"]
