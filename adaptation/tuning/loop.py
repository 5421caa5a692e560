"""The training loop: exact to the step, whether or not it was interrupted.

Every draw is a function of seed, epoch and example, and normalisation layers keep the statistics
that they came with, so weights, the optimiser's moments and the step's number are the whole state.
"""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from indexer.picture_tower import PictureTower

from ..calibration import log_loss
from ..task import Targets
from .depths import layers
from .pictures import Pictures
from .schedules import by_depth, unfrozen, warmup_cosine
from .settings import Tuning

STATE, LOG = "state.safetensors", "log.csv"


@dataclass(frozen=True)
class Side:
    """Pictures of known classes. targets: `(n,)`."""

    pictures: Pictures
    targets: Targets


class Loop:
    """One run. tower: changed in place. head: linear, over unit vectors. folder: of its state."""

    def __init__(
        self,
        tower: PictureTower,
        head: nn.Linear,
        settings: Tuning,
        folder: Path,
        *,
        steps: int,
        key: str,
    ) -> None:
        """steps: of an epoch. key: of data and model; what another one left is not gone on with."""
        self.key = key
        self.tower, self.head, self.settings, self.folder = tower, head, settings, folder
        self.steps = steps
        self.groups = parameter_groups(tower.visual, head, settings)
        self.optimiser = torch.optim.AdamW(self.groups, weight_decay=settings.weight_decay)
        self.step = 0
        self.best: tuple[float, int] = (float("inf"), 0)
        self.best_state = self.state()
        self.history: list[dict[str, float]] = []

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.steps

    def run(self, train: Side, held_out: Side) -> Iterator[dict[str, float]]:
        """Go on to the end, or until patience ends; yields each epoch's figures. Best weights last.

        Raises OSError where the state cannot be written.
        """
        self.resume()
        for epoch in range(self.step // self.steps, self.settings.epochs):
            if epoch - self.best[1] > self.settings.patience:
                break
            losses = [self._step(train, epoch, at) for at in range(self.steps)]
            logits = self.logits(held_out.pictures)
            figures = {
                "epoch": epoch + 1.0,
                "loss": float(np.mean(losses)),
                "held_out_loss": log_loss(logits, held_out.targets),
                "held_out_accuracy": float((logits.argmax(axis=1) == held_out.targets).mean()),
            }
            if figures["held_out_loss"] < self.best[0]:
                self.best = figures["held_out_loss"], epoch + 1
                self.best_state = self.state()
            self.history.append(figures)
            self.save()
            yield figures
        self.load(self.best_state)

    def logits(self, pictures: Pictures) -> np.ndarray:
        """`(n, classes)` of pictures as they are indexed."""
        parts = []
        with torch.inference_mode():
            for _, pixels in pictures.batches(self.settings.at_once):
                parts.append(self.head(self.tower(torch.from_numpy(pixels))).double().numpy())
        return np.concatenate(parts)

    def _step(self, train: Side, epoch: int, at: int) -> float:
        settings = self.settings
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(train.targets))
        rows = order[at * settings.batch_size : (at + 1) * settings.batch_size]
        pixels = train.pictures.augmented(rows, seed=settings.seed, epoch=epoch)
        share = warmup_cosine(
            self.step, warmup=round(settings.warmup * self.total), total=self.total
        )
        for group, depth in zip(self.optimiser.param_groups, self._moving(epoch), strict=True):
            group["lr"] = share * group["peak"] * depth
        targets = torch.from_numpy(train.targets[rows])
        self.optimiser.zero_grad()
        total = 0.0
        for start in range(0, len(rows), settings.at_once):
            part = slice(start, start + settings.at_once)
            logits = self.head(self.tower(torch.from_numpy(pixels[part])))
            loss = functional.cross_entropy(logits, targets[part], reduction="sum") / len(rows)
            loss.backward()
            total += float(loss.detach())
        self.optimiser.step()
        self.step += 1
        return total

    def _moving(self, epoch: int) -> list[float]:
        """1 for groups that move in this epoch, else 0; the head's last."""
        depths = len(self.groups) - 1
        free = unfrozen(epoch, depths=depths, per_epoch=self.settings.unfreeze_per_epoch)
        return [float(depth >= depths - free) for depth in range(depths)] + [1.0]

    # -- state -----------------------------------------------------------------------------------

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of all weights, the tower's and the head's."""
        modules = {"tower": self.tower.visual, "head": self.head}
        return {
            f"{prefix}.{name}": value.detach().clone().contiguous()
            for prefix, module in modules.items()
            for name, value in module.state_dict().items()
        }

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Take in what `state` gave."""
        for prefix, module in (("tower", self.tower.visual), ("head", self.head)):
            own = {
                name.removeprefix(f"{prefix}."): value
                for name, value in state.items()
                if name.startswith(f"{prefix}.")
            }
            module.load_state_dict(own)

    def save(self) -> None:
        """The whole state, beside and renamed: a run that is killed goes on from the last one."""
        tensors = {f"now.{name}": value for name, value in self.state().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_state.items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"moments.{number}.{name}"] = value.clone().contiguous()
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "step": self.step,
            "best": list(self.best),
            "history": self.history,
            **self._identity(),
        }
        save_file(tensors, str(self.folder / f"{STATE}.new"), {"facts": json.dumps(facts)})
        os.replace(self.folder / f"{STATE}.new", self.folder / STATE)
        self._log()

    def _identity(self) -> dict[str, object]:
        return {"settings": asdict(self.settings), "key": self.key}

    def resume(self) -> None:
        """Go on from a state of the same settings, if there is one."""
        from safetensors import safe_open

        file = self.folder / STATE
        if not file.exists():
            return
        with safe_open(str(file), "pt") as opened:
            facts = json.loads(opened.metadata()["facts"])
        if {name: facts[name] for name in ("settings", "key")} != self._identity():
            return
        tensors = load_file(str(file))
        self.load({n.removeprefix("now."): t for n, t in tensors.items() if n.startswith("now.")})
        self.best_state = {
            n.removeprefix("best."): t for n, t in tensors.items() if n.startswith("best.")
        }
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("moments."):
                _, number, moment = name.split(".")
                state.setdefault(int(number), {})[moment] = value
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({**whole, "state": state})
        self.step, self.best = facts["step"], (facts["best"][0], facts["best"][1])
        self.history = facts["history"]

    def _log(self) -> None:
        with open(self.folder / LOG, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)


def parameter_groups(
    visual: nn.Module, head: nn.Linear, settings: Tuning
) -> list[dict[str, object]]:
    """A group for each of the tower's layers, from the input on, then the head's.

    peak: the highest rate of each.
    """
    depths = [[p for p in layer if p.requires_grad] for layer in layers(visual)]
    shares = by_depth(len(depths), settings.layer_decay)
    groups: list[dict[str, object]] = [
        {"params": layer, "peak": settings.rate * share, "lr": 0.0}
        for layer, share in zip(depths, shares, strict=True)
    ]
    head_group = {"params": list(head.parameters()), "peak": settings.head_rate, "lr": 0.0}
    return [*groups, head_group]
