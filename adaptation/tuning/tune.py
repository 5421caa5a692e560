"""From labelled or captioned images to a tuned model that keeps what the base model knew."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import nn

from adaptation.data.examples import Examples
from adaptation.data.pairs import Pairs
from adaptation.tuning.peft.adapters import add_adapters
from adaptation.tuning.peft.lora import add_lora, merge_lora
from adaptation.tuning.peft.prefix import add_prefixes
from adaptation.tuning.peft.visual_prompts import add_visual_prompts
from indexer.bundles.bundle import Bundle
from indexer.devices.detect import devices
from indexer.devices.torch_device import Precision, default_precision, find_device
from indexer.encoder import Encoder
from indexer.errors import ExamplesError
from indexer.openclip.image_tower import ImageTower
from indexer.weights.load_tower import obtain_tower
from indexer.weights.text_tower import obtain_text

from .checkpoint import STATE
from .checks import objection
from .inputs import StoredTower, Tower
from .save_model import keep_tuned, require_free
from .settings import Tuning
from .sweep import Old, chosen, sweep
from .task_data import TaskData, of_examples, of_pairs
from .text_tower import ClipText
from .trainer import Trainer
from .training_log import Log
from .wise_ft import interpolate

Report = Callable[[str], None]

# The length of a prefix, and the number of prompts before each block.
TOKENS = 8
# What is trained where the tower's own weights are frozen. Low-rank products are merged into these
# in the end; the others stay beside them.
ADDITIONS: dict[str, Callable[[nn.Module, Tuning], object]] = {
    "lora": lambda tower, settings: add_lora(tower, settings.rank, settings.alpha),
    "adapter": lambda tower, _: add_adapters(tower),
    "prefix": lambda tower, _: add_prefixes(tower, TOKENS),
    "visual-prompts": lambda tower, _: add_visual_prompts(tower, TOKENS, deep=True),
}


@dataclass(frozen=True)
class RunConfig:
    """Where a run computes and what it writes.

    Attributes:
        folder: Of its state and log, from which a run of the same settings is resumed.
        device: Where the tower is.
        precision: Of the tower.
        events: TensorBoard's folder; None to write no events.
    """

    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "fp32"
    events: Path | None = None

    @classmethod
    def on(cls, device: str, folder: Path, events: Path | None) -> Self:
        """Return the configuration for a device by its name; "auto" prefers a GPU.

        It computes in bf16 where the device has that, else in float32: gradients in float16 would
        have to be scaled.

        Raises:
            DeviceUnavailable: There is no such device.
        """
        found = find_device(next(iter(devices()), "cpu") if device == "auto" else device)
        precision = default_precision(found)
        return cls(folder, found, precision if precision == "bf16" else "fp32", events)


@dataclass
class Tuned:
    """A tuned model.

    Attributes:
        bundle: The compiled model.
        alpha: The share of the way from the base model to the tuned weights.
        epochs: The metrics of each epoch.
        sweep: For each alpha the gain on held-out images ("new") and the zero-shot accuracy on the
            old ones ("old").
    """

    bundle: Bundle
    alpha: float
    epochs: list[dict[str, float]] = field(default_factory=list)
    sweep: list[dict[str, float]] = field(default_factory=list)

    @property
    def at_alpha(self) -> dict[str, float]:
        """The sweep's metrics at the chosen alpha."""
        return next(one for one in self.sweep if one["alpha"] == self.alpha)


def tune(
    base: Bundle,
    encoder: Encoder,
    data: Examples | Pairs | TaskData,
    settings: Tuning,
    name: str,
    run: RunConfig,
    *,
    old: Examples | None = None,
    templates: Sequence[str] = (),
    warnings: Sequence[str] = (),
    on_note: Report = lambda line: None,
) -> Tuned:
    """Train the image tower, for captions also the text tower, then interpolate (WiSE-FT).

    For classes a head is trained first, then both. The interpolation, towards the base model,
    takes the point that is best on held-out images among those that do not lose on the old ones.

    Args:
        base: The model to start from.
        encoder: The encoder of `base`.
        data: What to learn from; a `TaskData` is taken as it is, with its objective.
        settings: How to train.
        name: What the model is called.
        run: Where to compute and write.
        old: Labelled images whose zero-shot accuracy must not suffer.
        templates: Prompt templates of the class names.
        warnings: The names of checks that objected, which the bundle records.
        on_note: Is called with single lines of progress.

    Raises:
        ExamplesError: Nothing can be held out.
        ModelError: Another model has this name.
    """
    base.require_compiled("fine-tuning")
    require_free(name)
    if problem := objection(settings, captioned=isinstance(data, Pairs)):
        raise ExamplesError(problem)
    text = None
    if settings.towers != "image":
        text = ClipText(obtain_text(base), cut=base.text.cut, precision=run.precision)
    if isinstance(data, TaskData):
        task_data = data
    elif isinstance(data, Examples):
        task_data = of_examples(base, encoder, data, settings.seed, templates)
    else:
        task_data = of_pairs(base, encoder, data, settings, text)
    torch.manual_seed(settings.seed)
    visual = None if settings.towers == "text" else obtain_tower(base)
    moved = {
        prefix: module
        for prefix, module in (("tower.", visual), ("objective.text.", text))
        if module is not None
    }
    start = {
        f"{prefix}{name}": value.clone()
        for prefix, module in moved.items()
        for name, value in module.state_dict().items()
    }
    trained = sum(_prepare(module, settings) for module in moved.values())
    on_note(f"{trained:,} parameters are trained")
    tower: Tower = StoredTower(run.device)
    if visual is not None:
        tower = ImageTower(visual, base.image, run.precision).to(run.device)
    steps = -(-len(task_data.training.targets) // settings.batch_size)
    trainer = Trainer(
        tower,
        task_data.objective,
        settings,
        run.folder,
        steps=steps,
        key=task_data.key,
        log=Log(run.folder, run.events),
    )
    first = trainer.weights()
    for metrics in trainer.run(task_data.training, task_data.held_out):
        on_note(", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in metrics.items()))
    for module in moved.values():
        merge_lora(module)
    end = trainer.weights()
    first = {name: first[name] if name in first else start[name].to(end[name]) for name in end}
    before = None if old is None else Old.of(old, base, encoder, templates, settings.towers)
    found = sweep(trainer, first, end, task_data.held_out, before, on_note)
    alpha = chosen(found, None if before is None else before.before)
    trainer.load(interpolate(first, end, alpha))
    for module in moved.values():
        _recompute(module.cpu(), False)
    metadata = {
        "tuning": asdict(settings),
        "towers": settings.towers,
        "learnt": trained,
        "alpha": alpha,
        "sweep": found,
        "warnings": list(warnings),
    }
    bundle = keep_tuned(base, visual, name, metadata, None if text is None else text.model)
    (run.folder / STATE).unlink(missing_ok=True)
    return Tuned(bundle, alpha, trainer.history, found)


def _prepare(tower: nn.Module, settings: Tuning) -> int:
    """Freeze all but what the method trains, and return how many parameters that is."""
    if settings.method != "full":
        ADDITIONS[settings.method](tower, settings)
    _recompute(tower, settings.checkpointing)
    return sum(p.numel() for p in tower.parameters() if p.requires_grad)


def _recompute(tower: nn.Module, enable: bool) -> None:
    """Set whether the backward pass computes the blocks' activations again.

    A text tower's are, always: the objective holds those of few captions at a time.
    """
    if not isinstance(tower, ClipText):
        tower.set_grad_checkpointing(enable)  # type: ignore[operator]
