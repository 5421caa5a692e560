"""The training loop: exact to the step, whether or not it was interrupted.

Every draw is a function of seed, epoch and example, and normalisation layers keep the statistics
that they came with, so weights, the optimiser's moments and the step's number are the whole state.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from indexer.openclip.image_tower import ImageTower

from .checkpoint import Identity, Weights, read_state, write_state
from .image_dataset import Images
from .layer_groups import layers
from .objectives import Objective, Targets
from .schedules import by_depth, unfrozen, warmup_cosine
from .settings import Tuning
from .training_log import Log


@dataclass(frozen=True)
class Side:
    """Images and what is known of them. targets: `(n, ...)`, as the objective takes them."""

    images: Images
    targets: Targets


class Loop:
    """One run. tower: changed in place, on its own device. objective: a module. folder: of its
    state and log.
    """

    def __init__(
        self,
        tower: ImageTower,
        objective: Objective,
        settings: Tuning,
        folder: Path,
        *,
        steps: int,
        key: str,
        log: Log | None = None,
    ) -> None:
        """steps: of an epoch. key: of data and model; what another one left is not gone on with."""
        self.identity: Identity = {"settings": asdict(settings), "key": key}
        self.tower, self.objective, self.settings, self.folder = tower, objective, settings, folder
        self.modules = nn.ModuleDict({"tower": tower.visual, "objective": objective})
        self.device = tower.mean.device
        self.modules.to(self.device)
        self.steps = steps
        self.groups = parameter_groups(tower.visual, objective, settings)
        self.optimiser = torch.optim.AdamW(self.groups, weight_decay=settings.weight_decay)
        self.log = log or Log(folder)
        self.step = 0
        self.best: tuple[float, int] = (float("inf"), 0)
        self.best_weights = self.weights()
        self.history: list[dict[str, float]] = []

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.steps

    def run(self, train: Side, held_out: Side) -> Iterator[dict[str, float]]:
        """Go on to the end, or until patience ends; yields each epoch's metrics. Best weights last.

        Raises OSError where the state cannot be written.
        """
        self.resume()
        for epoch in range(self.step // self.steps, self.settings.epochs):
            if epoch - self.best[1] > self.settings.patience:
                break
            losses = [self._step(train, epoch, at) for at in range(self.steps)]
            figures = {
                "epoch": epoch + 1.0,
                "loss": float(np.mean(losses)),
                **self.judge(held_out),
            }
            if figures["held_out_loss"] < self.best[0]:
                self.best = figures["held_out_loss"], epoch + 1
                self.best_weights = self.weights()
            self.history.append(figures)
            self.save()
            yield figures
        self.load(self.best_weights)

    def judge(self, side: Side) -> dict[str, float]:
        """The objective's figures of images as they are indexed."""
        with torch.no_grad():
            return self.objective.judge(self.vectors(side.images), side.targets)

    def vectors(self, images: Images) -> torch.Tensor:
        """`(n, dim)` of images as they are indexed."""
        with torch.no_grad():
            return torch.cat(
                [self._embed(pixels) for _, pixels in images.batches(self.settings.at_once)]
            )

    def _embed(self, pixels: np.ndarray) -> torch.Tensor:
        vectors: torch.Tensor = self.tower(torch.from_numpy(pixels).to(self.device))
        return vectors

    def _step(self, train: Side, epoch: int, at: int) -> float:
        settings = self.settings
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(train.targets))
        rows = order[at * settings.batch_size : (at + 1) * settings.batch_size]
        random = np.random.default_rng([settings.seed, epoch, at])
        drawn = self.objective.drawn(train.targets[rows], random).to(self.device)
        pixels = train.images.augmented(rows, seed=settings.seed, epoch=epoch)
        share = warmup_cosine(
            self.step, warmup=round(settings.warmup * self.total), total=self.total
        )
        for group, depth in zip(self.optimiser.param_groups, self._moving(epoch), strict=True):
            group["lr"] = share * group["peak"] * depth
        self.optimiser.zero_grad()
        loss = self._backward(pixels, drawn)
        self.optimiser.step()
        self.step += 1
        return loss

    def _backward(self, pixels: np.ndarray, drawn: torch.Tensor) -> float:
        """Add up a batch's gradients, with the activations of few images at a time.

        Where images are compared with each other, their vectors come first, without activations;
        the loss's gradients in the vectors then go on into the tower part by part.
        Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup,
        RepL4NLP 2021.
        """
        size = self.settings.at_once
        parts = [slice(start, start + size) for start in range(0, len(pixels), size)]
        total = 0.0
        if self.objective.separable or len(parts) == 1:
            for part in parts:
                share = len(pixels[part]) / len(pixels)
                loss = share * self.objective.loss(self._embed(pixels[part]), drawn[part])
                loss.backward()
                total += float(loss.detach())
            return total
        with torch.no_grad():
            vectors = torch.cat([self._embed(pixels[part]) for part in parts])
        vectors.requires_grad_()
        loss = self.objective.loss(vectors, drawn)
        loss.backward()
        assert vectors.grad is not None
        for part in parts:
            self._embed(pixels[part]).backward(vectors.grad[part])
        return float(loss.detach())

    def _moving(self, epoch: int) -> list[float]:
        """1 for groups that move in this epoch, else 0; the objective's own, if any, last."""
        depths = sum("depth" in group for group in self.groups)
        free = unfrozen(epoch, depths=depths, per_epoch=self.settings.unfreeze_per_epoch)
        own = [1.0] * (len(self.groups) - depths)
        return [float(depth >= depths - free) for depth in range(depths)] + own

    # -- state -----------------------------------------------------------------------------------

    def weights(self) -> Weights:
        """A copy of all weights, the tower's and the objective's."""
        return {
            name: value.detach().clone().contiguous()
            for name, value in self.modules.state_dict().items()
        }

    def load(self, weights: Weights) -> None:
        """Take in what `weights` gave."""
        self.modules.load_state_dict(weights)

    def save(self) -> None:
        """The whole state and the log: a run that is killed goes on from here."""
        metadata = {"step": self.step, "best": list(self.best), "history": self.history}
        moments = self.optimiser.state_dict()["state"]
        write_state(
            self.folder, self.identity, metadata, self.weights(), self.best_weights, moments
        )
        self.log.write(self.history)

    def resume(self) -> None:
        """Go on from a state of the same settings, if there is one."""
        found = read_state(self.folder, self.identity)
        if found is None:
            return
        self.load(found.weights)
        self.best_weights = found.best_weights
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({**whole, "state": found.moments})
        self.step, self.history = found.metadata["step"], found.metadata["history"]
        self.best = (found.metadata["best"][0], found.metadata["best"][1])


def parameter_groups(
    visual: nn.Module, objective: nn.Module, settings: Tuning
) -> list[dict[str, Any]]:
    """A group for each of the tower's layers, from the input on, then the objective's, if any.

    peak: the highest rate of each. depth: of the tower's, from 0.
    """
    depths = [[p for p in layer if p.requires_grad] for layer in layers(visual)]
    shares = by_depth(len(depths), settings.layer_decay)
    groups: list[dict[str, Any]] = [
        {"params": layer, "peak": settings.rate * share, "lr": 0.0, "depth": depth}
        for depth, (layer, share) in enumerate(zip(depths, shares, strict=True))
    ]
    own = list(objective.parameters())
    if own:
        groups.append({"params": own, "peak": settings.head_rate, "lr": 0.0})
    return groups
