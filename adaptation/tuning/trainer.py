"""The training loop, whose result does not depend on interruptions.

Every random number is a function of seed, epoch and example, and normalization layers keep their
statistics, so the weights, the optimizer's moments and the number of the step are the whole state.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .checkpoint import Identity, Weights, read_state, write_state
from .inputs import Inputs, Tower
from .layer_groups import layers
from .objectives import Objective, Targets
from .schedules import by_depth, unfrozen, warmup_cosine
from .settings import Tuning
from .training_log import Log


@dataclass(frozen=True)
class Split:
    """Images, or texts, and their targets `(n, ...)`, as the objective takes them."""

    images: Inputs
    targets: Targets


class Trainer:
    """Trains a tower in one run that can be interrupted."""

    def __init__(
        self,
        tower: Tower,
        objective: Objective,
        settings: Tuning,
        folder: Path,
        *,
        steps: int,
        key: str,
        log: Log | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            tower: The image or text tower, which is changed in place, on its own device.
            objective: The loss; its parameters are trained, too.
            settings: How to train.
            folder: Where the state and the log are written.
            steps: The steps of one epoch.
            key: Of data and model; a state with another key is not resumed.
            log: Where metrics go; by default a CSV in the folder.
        """
        self.identity: Identity = {"settings": identity_of(settings), "key": key}
        self.tower, self.objective, self.settings, self.folder = tower, objective, settings, folder
        self.modules = nn.ModuleDict({"tower": tower.trained, "objective": objective})
        self.device = tower.device
        self.modules.to(self.device)
        self.steps = steps
        self.groups = parameter_groups(tower.trained, objective, settings)
        self.optimizer = torch.optim.AdamW(self.groups, weight_decay=settings.weight_decay)
        self.log = log or Log(folder)
        self.step = 0
        self.best: tuple[float, int] = (float("inf"), 0)
        self.best_weights = self.weights()
        self.history: list[dict[str, float]] = []

    @property
    def total(self) -> int:
        """The number of steps of the whole run."""
        return self.settings.epochs * self.steps

    def run(self, train: Split, held_out: Split) -> Iterator[dict[str, float]]:
        """Train to the end or until patience runs out, then load the best weights.

        Yields:
            The metrics of each epoch.

        Raises:
            OSError: The state cannot be written.
        """
        self.resume()
        for epoch in range(self.step // self.steps, self.settings.epochs):
            if epoch - self.best[1] > self.settings.patience:
                break
            losses = [self._step(train, epoch, at) for at in range(self.steps)]
            metrics = {
                "epoch": epoch + 1.0,
                "loss": float(np.mean(losses)),
                **self.evaluate(held_out),
            }
            if metrics["held_out_loss"] < self.best[0]:
                self.best = metrics["held_out_loss"], epoch + 1
                self.best_weights = self.weights()
            self.history.append(metrics)
            self.save()
            yield metrics
        self.load(self.best_weights)

    def evaluate(self, split: Split) -> dict[str, float]:
        """Return the objective's metrics for images preprocessed as for indexing."""
        with torch.no_grad():
            return self.objective.evaluate(self.vectors(split.images), split.targets)

    def vectors(self, images: Inputs) -> torch.Tensor:
        """Return `(n, dim)`, the vectors of images preprocessed as for indexing."""
        with torch.no_grad():
            return torch.cat(
                [self._embed(pixels) for _, pixels in images.batches(self.settings.at_once)]
            )

    def _embed(self, pixels: np.ndarray) -> torch.Tensor:
        vectors: torch.Tensor = self.tower(torch.from_numpy(pixels).to(self.device))
        return vectors

    def _step(self, train: Split, epoch: int, at: int) -> float:
        settings = self.settings
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(train.targets))
        rows = order[at * settings.batch_size : (at + 1) * settings.batch_size]
        random = np.random.default_rng([settings.seed, epoch, at])
        self.objective.at(self.step / self.total)
        sampled = self.objective.sample(train.targets[rows], random).to(self.device)
        pixels = train.images.augmented(rows, seed=settings.seed, epoch=epoch)
        share = warmup_cosine(
            self.step, warmup=round(settings.warmup * self.total), total=self.total
        )
        for group, depth in zip(self.optimizer.param_groups, self._moving(epoch), strict=True):
            group["lr"] = share * group["peak"] * depth
        self.optimizer.zero_grad()
        loss = self._backward(pixels, sampled)
        self.optimizer.step()
        self.step += 1
        return loss

    def _backward(self, pixels: np.ndarray, sampled: torch.Tensor) -> float:
        """Add up a batch's gradients while holding the activations of few images at a time.

        Where images are compared with each other, their vectors are computed first, without
        activations; the loss's gradients with respect to the vectors are then propagated into the
        tower part by part.

        Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup,
        RepL4NLP 2021.
        """
        size = self.settings.at_once
        parts = [slice(start, start + size) for start in range(0, len(pixels), size)]
        total = 0.0
        if self.objective.separable or len(parts) == 1:
            for part in parts:
                share = len(pixels[part]) / len(pixels)
                loss = share * self.objective.loss(self._embed(pixels[part]), sampled[part])
                loss.backward()
                total += float(loss.detach())
            return total
        with torch.no_grad():
            vectors = torch.cat([self._embed(pixels[part]) for part in parts])
        vectors.requires_grad_()
        loss = self.objective.loss(vectors, sampled)
        loss.backward()
        assert vectors.grad is not None
        for part in parts if self._tower_moves() else ():
            self._embed(pixels[part]).backward(vectors.grad[part])
        return float(loss.detach())

    def _moving(self, epoch: int) -> list[float]:
        """Return 1 for each group that is trained in this epoch and 0 for the others."""
        moving = []
        for group in self.groups:
            depths = group.get("depths", 0)
            free = unfrozen(epoch, depths=depths, per_epoch=self.settings.unfreeze_per_epoch)
            moving.append(float(group.get("depth", 0) >= depths - free))
        return moving

    def _tower_moves(self) -> bool:
        return any(one.requires_grad for one in self.tower.trained.parameters())

    # -- state -----------------------------------------------------------------------------------

    def weights(self) -> Weights:
        """Return a copy of all weights, the tower's and the objective's."""
        return {
            name: value.detach().clone().contiguous()
            for name, value in self.modules.state_dict().items()
        }

    def load(self, weights: Weights) -> None:
        """Load weights that `weights` returned."""
        self.modules.load_state_dict(weights)

    def save(self) -> None:
        """Write the whole state, from which a killed run is resumed, and the log."""
        metadata = {"step": self.step, "best": list(self.best), "history": self.history}
        moments = self.optimizer.state_dict()["state"]
        write_state(
            self.folder, self.identity, metadata, self.weights(), self.best_weights, moments
        )
        self.log.write(self.history)

    def resume(self) -> None:
        """Load the state of a run of the same settings, if there is one."""
        found = read_state(self.folder, self.identity)
        if found is None:
            return
        self.load(found.weights)
        self.best_weights = found.best_weights
        whole = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**whole, "state": found.moments})
        self.step, self.history = found.metadata["step"], found.metadata["history"]
        self.best = (found.metadata["best"][0], found.metadata["best"][1])


def identity_of(settings: Tuning) -> dict[str, Any]:
    """Return the settings that a run must share to be resumed.

    Earlier versions, whose interrupted runs go on, knew of no other tower than the image tower.
    """
    return {
        key: value
        for key, value in asdict(settings).items()
        if (key, value) != ("towers", Tuning.towers)
    }


def parameter_groups(
    tower: nn.Module, objective: Objective, settings: Tuning
) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups.

    There is one for each layer of each tower, from the input on, with its "depth" from 0 among the
    tower's "depths", and one for the objective's own parameters, if it has any. "peak" is the
    highest learning rate of a group.
    """
    groups: list[dict[str, Any]] = []
    for one in (tower, *objective.towers()):
        depths = [[p for p in layer if p.requires_grad] for layer in layers(one)]
        shares = by_depth(len(depths), settings.layer_decay)
        groups += [
            {
                "params": layer,
                "peak": settings.rate * share,
                "lr": 0.0,
                "depth": depth,
                "depths": len(depths),
            }
            for depth, (layer, share) in enumerate(zip(depths, shares, strict=True))
        ]
    inside = {id(p) for one in objective.towers() for p in one.parameters()}
    own = [p for p in objective.parameters() if id(p) not in inside]
    if own:
        groups.append({"params": own, "peak": settings.head_rate, "lr": 0.0})
    return groups
