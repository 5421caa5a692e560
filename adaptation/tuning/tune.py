"""From labelled or captioned images to a tuned model, and as little of the old lost as can be."""

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
from indexer.openclip.image_tower import ImageTower
from indexer.weights.image_tower_cache import obtain_tower

from .checkpoint import STATE
from .save_model import keep_tuned, require_free
from .settings import Tuning
from .sweep import Old, chosen, sweep
from .task_data import of_examples, of_pairs
from .trainer import Loop
from .training_log import Log
from .wise_ft import interpolate

Report = Callable[[str], None]

# Of a prefix, and prompts before each block.
TOKENS = 8
# What learns where the tower's own weights do not. Low-rank products become part of these in the
# end; the others stay beside them.
ADDITIONS: dict[str, Callable[[nn.Module, Tuning], object]] = {
    "lora": lambda tower, settings: add_lora(tower, settings.rank, settings.alpha),
    "adapter": lambda tower, _: add_adapters(tower),
    "prefix": lambda tower, _: add_prefixes(tower, TOKENS),
    "visual-prompts": lambda tower, _: add_visual_prompts(tower, TOKENS, deep=True),
}


@dataclass(frozen=True)
class Where:
    """Where a run computes and what it leaves. folder: of its state and log, from which a run of
    the same settings goes on. events: TensorBoard's folder.
    """

    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "fp32"
    events: Path | None = None

    @classmethod
    def on(cls, device: str, folder: Path, events: Path | None) -> Self:
        """The device of that name ("auto": a GPU where there is one), in bf16 where it has that,
        else in float32: gradients in float16 would have to be scaled. Raises DeviceUnavailable.
        """
        found = find_device(next(iter(devices()), "cpu") if device == "auto" else device)
        precision = default_precision(found)
        return cls(folder, found, precision if precision == "bf16" else "fp32", events)


@dataclass
class Tuned:
    """bundle: the model, compiled. epochs: figures of each. sweep: by alpha, the gain on held-out
    images ("new") and zero-shot accuracy on the old ones ("old").
    """

    bundle: Bundle
    alpha: float
    epochs: list[dict[str, float]] = field(default_factory=list)
    sweep: list[dict[str, float]] = field(default_factory=list)

    @property
    def at_alpha(self) -> dict[str, float]:
        """The sweep's figures of the model."""
        return next(one for one in self.sweep if one["alpha"] == self.alpha)


def tune(
    base: Bundle,
    encoder: Encoder,
    data: Examples | Pairs,
    settings: Tuning,
    name: str,
    where: Where,
    *,
    old: Examples | None = None,
    templates: Sequence[str] = (),
    warnings: Sequence[str] = (),
    on_note: Report = lambda line: None,
) -> Tuned:
    """Train the image tower (of classes a head first, then both); then go back towards the base
    model (WiSE-FT), as far as held-out images gain and old ones do not lose.

    encoder: of `base`. old: labelled images whose zero-shot accuracy is to stay. warnings: names
    of checks that objected, which the bundle remembers.
    Raises ExamplesError where nothing can be held out, ModelError for the name of another model.
    """
    require_free(name)
    material = (
        of_examples(base, encoder, data, settings.seed, templates)
        if isinstance(data, Examples)
        else of_pairs(base, encoder, data, settings.seed)
    )
    torch.manual_seed(settings.seed)
    visual = obtain_tower(base)
    start = {f"tower.{name}": value.clone() for name, value in visual.state_dict().items()}
    learnt = _prepare(visual, settings)
    on_note(f"{learnt:,} parameters of the tower learn")
    tower = ImageTower(visual, base.image, where.precision).to(where.device)
    steps = -(-len(material.training.targets) // settings.batch_size)
    loop = Loop(
        tower,
        material.objective,
        settings,
        where.folder,
        steps=steps,
        key=material.key,
        log=Log(where.folder, where.events),
    )
    first = loop.weights()
    for figures in loop.run(material.training, material.held_out):
        on_note(", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in figures.items()))
    merge_lora(visual)
    end = loop.weights()
    first = {name: first[name] if name in first else start[name].to(end[name]) for name in end}
    before = None if old is None else Old.of(old, base, encoder, templates)
    found = sweep(loop, first, end, material.held_out, before, on_note)
    alpha = chosen(found, None if before is None else before.before)
    loop.load(interpolate(first, end, alpha))
    _recompute(visual, False)
    metadata = {"tuning": asdict(settings), "learnt": learnt, "alpha": alpha, "sweep": found}
    bundle = keep_tuned(base, visual.cpu(), name, {**metadata, "warnings": list(warnings)})
    (where.folder / STATE).unlink(missing_ok=True)
    return Tuned(bundle, alpha, loop.history, found)


def _prepare(visual: nn.Module, settings: Tuning) -> int:
    """Leave to learn what the method moves; returns how many parameters that is."""
    if settings.method != "full":
        ADDITIONS[settings.method](visual, settings)
    _recompute(visual, settings.checkpointing)
    return sum(p.numel() for p in visual.parameters() if p.requires_grad)


def _recompute(visual: nn.Module, enable: bool) -> None:
    """Whether blocks' activations are computed again on the way back instead of kept."""
    visual.set_grad_checkpointing(enable)  # type: ignore[operator]
