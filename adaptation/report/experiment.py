"""One way of learning after another on the same images, resumed where it was interrupted."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from adaptation.data.examples import Examples, read_examples
from adaptation.data.grouping import copies_and_scenes
from adaptation.data.splits import folds, scene_folds, take_shots
from adaptation.methods.linear_probe import LinearProbe
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.task import Fitted, Method, Rows, Task
from adaptation.train import task_of
from adaptation.tuning.image_dataset import Images
from adaptation.tuning.objectives import Classification
from adaptation.tuning.settings import METHODS, Tuning
from adaptation.tuning.task_data import TaskData, of_examples
from adaptation.tuning.trainer import Trainer
from adaptation.tuning.tune import RunConfig, tune
from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, Encoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import ExamplesError
from indexer.images.decode import Limits
from indexer.openclip.image_tower import ImageTower, build_visual
from indexer.store.content_hash import digest
from search.evaluation.dataset import Known
from search.labels.heads import Floats, softmax

from .budget import Budget
from .memory import peak_mib, reset_peak
from .outcome import TITLES, TRAINED, TUNED, Outcome

Report = Callable[[str], None]

SHOTS = 5
# Without pretrained weights nothing is worth keeping, so every layer learns as fast as the last.
FROM_SCRATCH = Tuning(rate=1e-3, head_rate=1e-2, layer_decay=1.0)


@dataclass(frozen=True)
class Data:
    """The images that all ways learn from and are measured on.

    Attributes:
        learn: What they learn from and choose their settings by.
        test: What each is measured on, once.
        old: Labelled images of other things, on which zero-shot must not suffer; may be missing.
        target: Labelled images of another domain that nothing learns from; may be missing.
    """

    learn: Examples
    test: Examples
    old: Examples | None = None
    target: Examples | None = None


class Halves(NamedTuple):
    """A split; `by_scenes` tells whether images of one scene are on one side."""

    learn: Examples
    test: Examples
    by_scenes: bool


def split(examples: Examples, seed: int) -> Halves:
    """Return the examples to learn from and a fifth to test on.

    Images of one scene stay on one side, unless a class is of a single scene; copies always do.

    Raises:
        ExamplesError: A class has too few different images for both.
    """
    targets = examples.targets
    copies, scenes = copies_and_scenes(examples.vectors, targets, examples.paths)
    for by_scenes, parts in (
        (True, scene_folds(targets, seed, scenes, copies=copies)),
        (False, folds(targets, seed, groups=copies)),
    ):
        if parts and len(np.unique(targets[parts[0][1]])) == len(examples.classes):
            learn, test = (rows_of(examples, rows) for rows in parts[0])
            return Halves(learn, test, by_scenes)
    raise ExamplesError(
        "each class needs at least two different images, since one is tested on: add images, or "
        "leave the class out"
    )


def rows_of(examples: Examples, rows: Rows) -> Examples:
    """Return some of the examples."""
    return replace(
        examples,
        vectors=examples.vectors[rows],
        targets=examples.targets[rows],
        paths=tuple(examples.paths[row] for row in rows),
        digests=tuple(examples.digests[row] for row in rows),
    )


@dataclass
class Experiment:
    """Runs each way of learning.

    Attributes:
        bundle: The model to start from.
        encoder: Its encoder.
        data: What to learn from and to measure on.
        folder: Keeps finished outcomes and the state of a run that was interrupted.
        budget: How long all of it may take.
        seed: Of the draws.
        epochs: The most passes over the images where a tower is trained.
        device: Where a tower is trained.
        on_note: Is called with single lines of progress.
    """

    bundle: Bundle
    encoder: Encoder
    data: Data
    folder: Path
    budget: Budget
    seed: int = 0
    epochs: int = 5
    device: str = "auto"
    on_note: Report = lambda line: None

    @cached_property
    def key(self) -> str:
        """Equal for the same model, images and settings; names the run's files and models."""
        sets = [self.data.learn, self.data.test, self.data.old, self.data.target]
        parts = [self.bundle.fingerprint, str((self.seed, self.epochs))]
        for one in sets:
            if one is not None:
                parts += [*one.classes, str(one.targets.tolist()), *map(bytes.hex, one.digests)]
        return digest("\n".join(parts).encode()).hex()[:12]

    @cached_property
    def learn(self) -> Task:
        """What is learned from, as vectors of the frozen tower, with its scenes."""
        task = task_of(self.data.learn, self.encoder)
        copies, scenes = copies_and_scenes(task.vectors, task.targets, self.data.learn.paths)
        return replace(task, copies=copies, scenes=scenes)

    def run(self, methods: Sequence[str]) -> tuple[list[Outcome], list[str]]:
        """Measure ways of learning, those that are finished excepted.

        Args:
            methods: Keys of `TITLES`, in the order of the report.

        Returns:
            The outcomes, and why some ways were left out.

        Raises:
            OSError: The folder cannot be written.
        """
        place = self.folder / self.key
        outcomes, left_out = [], []
        self.budget.start(
            [one for one in methods if one in TRAINED and Outcome.load(place, one) is None]
        )
        for method in methods:
            found = Outcome.load(place, method)
            if found is not None:
                self.on_note(f"{TITLES[method]}: finished in an earlier run")
                self.budget.spent(found.seconds)
            else:
                epochs = self._affordable(method, place)
                if epochs == 0:
                    left_out.append(self.budget.refusal(TITLES[method]))
                    self.on_note(left_out[-1])
                    continue
                found = self._measured(method, epochs, place)
                found.save(place)
                self.on_note(f"{found.title}: {found.test:.1%} of the test images")
            outcomes.append(found)
        return outcomes, left_out

    def _affordable(self, method: str, place: Path) -> int:
        """Return the epochs of a way, as an interrupted run of it planned them."""
        if method not in TRAINED:
            return self.epochs
        plan = place / f"{method}.epochs"
        with suppress(OSError, ValueError):
            return int(plan.read_text())
        epochs = self.budget.epochs(self.bundle, self.data.learn, self.epochs, method in TUNED)
        if epochs:
            place.mkdir(parents=True, exist_ok=True)
            plan.write_text(str(epochs))
        return epochs

    def _measured(self, method: str, epochs: int, place: Path) -> Outcome:
        self.on_note(f"{TITLES[method]} ...")
        reset_peak()
        began = time.perf_counter()
        if method == "zero-shot":
            outcome = self._tested(method, self.learn.zero_shot())
        elif method == "scratch":
            settings = replace(FROM_SCRATCH, epochs=epochs, seed=self.seed)
            outcome = self._from_scratch(settings, place)
        elif method in TUNED:
            settings = replace(METHODS[method], epochs=epochs, seed=self.seed)
            outcome = self._tuned(method, settings, place)
        else:
            outcome = self._head(method)
        taken = time.perf_counter() - began
        self.budget.spent(taken, trained=method in TRAINED)
        return replace(outcome, seconds=round(taken, 1), peak_mib=peak_mib())

    def _tested(self, method: str, fitted: Fitted, **known: object) -> Outcome:
        """Return the outcome of a head on the frozen tower's vectors."""
        target = None
        if self.data.target is not None:
            right = fitted.logits(self.data.target.vectors).argmax(axis=1)
            target = float((right == self.data.target.targets).mean())
        return _outcome(
            method, fitted.logits(self.data.test.vectors), self.data.test, target=target, **known
        )

    def _head(self, method: str) -> Outcome:
        task = self.learn
        if method == "few-shot":
            task = task.subset(take_shots(task.targets, SHOTS, self.seed))
        way: Method = LinearProbe() if method == "probe" else ZeroShotProbe()
        choice = choose(way, task, self.seed)
        fitted = choice.method.fit(task, self.seed)
        held = len(choice.rows)
        return self._tested(
            method,
            fitted,
            train=fitted.accuracy(task),
            validation=choice.accuracy if held else None,
            validated=held,
            parameters=sum(one.size for one in fitted.arrays.values()),
            settings=vars(choice.method),
        )

    def _tuned(self, method: str, settings: Tuning, place: Path) -> Outcome:
        name = f"compare-{self.key}-{method}"
        run = RunConfig.on(self.device, place / method, None)
        tuned = tune(
            self.bundle, self.encoder, self.data.learn, settings, name, run,
            old=self.data.old, on_note=self.on_note,
        )  # fmt: skip
        moved = OnnxEncoder(tuned.bundle, device="cpu", threads=torch.get_num_threads())
        task = _embedded(self.data.learn, moved)
        task = replace(task, copies=self.learn.copies, scenes=self.learn.scenes)
        head = choose(ZeroShotProbe(), task, self.seed).method.fit(task, self.seed)
        target = None
        if self.data.target is not None:
            target = head.accuracy(_embedded(self.data.target, moved))
        return _outcome(
            method,
            head.logits(_vectors(self.data.test, moved)),
            self.data.test,
            train=head.accuracy(task),
            validation=tuned.at_alpha["new"],
            validated=len(self._task_data.held_out.targets),
            parameters=int(str(tuned.bundle.tuned["learnt"])),
            epochs=tuple(tuned.epochs),
            old=tuned.at_alpha.get("old"),
            target=target,
            settings={**vars(settings), "interpolated": tuned.alpha},
            model=name,
        )

    @cached_property
    def _task_data(self) -> TaskData:
        """What a tower is trained on and chosen by."""
        return of_examples(self.bundle, self.encoder, self.data.learn, self.seed, ())

    def _from_scratch(self, settings: Tuning, place: Path) -> Outcome:
        data = self._task_data
        torch.manual_seed(settings.seed)
        run = RunConfig.on(self.device, place / "scratch", None)
        visual = build_visual(self.bundle.architecture)
        tower = ImageTower(visual, self.bundle.image, run.precision).to(run.device)
        objective = Classification(nn.Linear(self.bundle.dim, len(self.data.learn.classes)))
        steps = -(-len(data.training.targets) // settings.batch_size)
        trainer = Trainer(
            tower, objective, settings, run.folder, steps=steps, key=f"scratch-{data.key}"
        )
        for metrics in trainer.run(data.training, data.held_out):
            self.on_note(", ".join(f"{key} {value:.3g}" for key, value in metrics.items()))
        best = trainer.evaluate(data.held_out)["held_out_accuracy"]

        def logits(examples: Examples) -> Floats:
            vectors = trainer.vectors(Images(examples.paths, self.bundle.image, Limits()))
            with torch.no_grad():
                found: Floats = objective.head(vectors).double().cpu().numpy()
            return found

        target = None
        if self.data.target is not None:
            right = logits(self.data.target).argmax(axis=1) == self.data.target.targets
            target = float(right.mean())
        return _outcome(
            "scratch",
            logits(self.data.test),
            self.data.test,
            train=trainer.evaluate(data.training)["held_out_accuracy"],
            validation=best,
            validated=len(data.held_out.targets),
            parameters=sum(weight.numel() for weight in visual.parameters()),
            epochs=tuple(trainer.history),
            target=target,
            settings=vars(settings),
        )


def old_accuracy(old: Examples, encoder: Encoder) -> float:
    """Return the zero-shot accuracy of a model on images."""
    task = task_of(old, encoder)
    return task.zero_shot().accuracy(task)


def _outcome(method: str, logits: Floats, test: Examples, **known: object) -> Outcome:
    shares = softmax(logits)
    predicted = shares.argmax(axis=1)
    return Outcome(
        method,
        float((predicted == test.targets).mean()),
        predicted=tuple(predicted.tolist()),
        certainty=tuple(shares.max(axis=1).round(4).tolist()),
        **known,  # type: ignore[arg-type]
    )


def _vectors(examples: Examples, encoder: Encoder) -> Embeddings:
    truth = {
        path: Known([examples.classes[number]])
        for path, number in zip(examples.paths, examples.targets.tolist(), strict=True)
    }
    return read_examples(truth, encoder, classes=examples.classes).vectors


def _embedded(examples: Examples, encoder: Encoder) -> Task:
    return task_of(replace(examples, vectors=_vectors(examples, encoder)), encoder)
