"""The metrics that a head is saved with, and the heads that are not saved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adaptation.data.examples import Examples
from adaptation.methods.linear_probe import LinearProbe
from adaptation.methods.prototypes import Prototypes
from adaptation.task import Method
from adaptation.train import Trained, train
from indexer.encoder import Embeddings, unit
from indexer.errors import ExamplesError
from indexer.store.collection import Collection
from indexer.testing import FakeEncoder
from support.bursts import bursts, names

DIM = 64


class Named(FakeEncoder):
    """An encoder whose text vectors are given: class names that fit, or do not."""

    def __init__(self, texts: Embeddings) -> None:
        super().__init__(dim=DIM)
        self.texts = unit(texts)

    def encode_texts(self, texts: list[str]) -> Embeddings:
        return np.stack([self.texts[int(text.split("number ")[1][0])] for text in texts])


def examples(vectors: Embeddings, targets: np.ndarray, folder: str = "/none") -> Examples:
    classes = tuple(f"number {number}" for number in range(targets.max() + 1))
    digests = tuple(f"{folder} {row}".encode() for row in range(len(targets)))
    return Examples(vectors, targets, classes, tuple(names(len(targets), folder)), digests)


def learn(
    folder: Path,
    data: Examples,
    texts: Embeddings,
    method: Method,
    *,
    validation: Examples | None = None,
    force: bool = False,
) -> tuple[Trained, str]:
    notes: list[str] = []
    trained = train(
        Collection(folder),
        "mine",
        data,
        Named(texts),
        method,
        model="fake",
        validation=validation,
        templates=["{}"],
        force=force,
        on_note=notes.append,
    )
    return trained, "\n".join(notes)


def means(vectors: Embeddings, targets: np.ndarray) -> Embeddings:
    return np.stack([vectors[targets == number].mean(axis=0) for number in np.unique(targets)])


def test_held_out_accuracy_of_bursts_is_that_of_new_scenes(tmp_path: Path) -> None:
    # The scenes of a class have nothing in common, so only memory can be right.
    vectors, targets, _ = bursts(4, 5, 6, own=0.0)
    trained, _ = learn(
        tmp_path, examples(vectors, targets), np.eye(4, DIM, dtype=np.float32), LinearProbe(c=100.0)
    )
    held_out = trained.metrics["held_out"]
    assert held_out["images"] == 120
    assert held_out["scenes"] == 20
    assert held_out["accuracy"] < 0.6
    assert held_out["margin"] > 0.15


def test_zero_shot_is_of_the_held_out_examples(tmp_path: Path) -> None:
    # Class 0 is one scene, which is not held out, and the only one whose name fits.
    vectors, targets, _ = bursts(3, 5, 4)
    vectors[targets == 0] = vectors[0]
    texts = means(vectors, targets)
    texts[1:] = texts[[2, 1]]
    trained, notes = learn(tmp_path, examples(vectors, targets), texts, LinearProbe(c=100.0))
    assert trained.metrics["zero_shot"] > 0.3
    assert trained.metrics["held_out"]["zero_shot"] < 0.1
    assert trained.metrics["held_out"]["images"] == 40
    assert "'number 0' has one example or images of one scene only" in notes


def test_few_scenes_are_doubtful(tmp_path: Path) -> None:
    vectors, targets, _ = bursts(3, 3, 30)
    data = examples(vectors, targets)
    _, notes = learn(tmp_path, data, means(vectors, targets), LinearProbe(c=100.0))
    assert "are of 9 scenes only" in notes
    vectors, targets, _ = bursts(3, 30, 3)
    data = examples(vectors, targets)
    _, notes = learn(tmp_path, data, means(vectors, targets), LinearProbe(c=100.0))
    assert notes == ""


def test_a_head_below_zero_shot_is_not_saved(tmp_path: Path) -> None:
    # The examples show little of their classes, and the names all of it.
    vectors, targets, _ = bursts(4, 60, 1, own=0.3)
    texts = means(vectors, targets)
    few = np.concatenate([np.flatnonzero(targets == number)[:12] for number in range(4)])
    data = examples(vectors[few], targets[few])
    with pytest.raises(ExamplesError, match=r"held-out examples, and zero-shot.*--force saves it"):
        learn(tmp_path, data, texts, Prototypes())
    assert not (tmp_path / "heads").exists()
    trained, notes = learn(tmp_path, data, texts, Prototypes(), force=True)
    assert [one.check for one in trained.findings] == ["below-zero-shot"]
    assert "warning: the head is right on" in notes
    assert trained.head.artifact.metadata["warnings"][0]["check"] == "below-zero-shot"


def test_validation_below_zero_shot_is_refused_as_well(tmp_path: Path) -> None:
    # One example of each class: nothing is held out, and one image may be an odd one.
    vectors, targets, _ = bursts(4, 60, 1, own=0.3)
    texts = means(vectors, targets)
    first = np.array([np.flatnonzero(targets == number)[0] for number in range(4)])
    rest = np.setdiff1d(np.arange(len(targets)), first)
    validation = replace(
        examples(vectors[rest], targets[rest], "/other"),
        classes=tuple(f"number {number}" for number in range(4)),
    )
    one_each = examples(vectors[first], targets[first])
    trained, notes = learn(
        tmp_path, one_each, texts, Prototypes(), validation=validation, force=True
    )
    assert [one.check for one in trained.findings] == ["too-few", "below-zero-shot"]
    assert "validation images, and zero-shot" in notes
    # Two of each, alike: no check objects to the examples, but the head is as bad.
    data = examples(np.repeat(vectors[first], 2, axis=0), np.repeat(np.arange(4), 2))
    with pytest.raises(ExamplesError, match="validation images, and zero-shot"):
        learn(tmp_path / "other", data, texts, Prototypes(), validation=validation)


def test_nothing_held_out_is_said_beside_zero_shot(tmp_path: Path) -> None:
    vectors, targets, _ = bursts(3, 1, 8)
    data = examples(vectors, targets)
    trained, notes = learn(tmp_path, data, means(vectors, targets), LinearProbe())
    assert trained.metrics["held_out"] is None
    assert "accuracy is unknown, and that of zero-shot on these examples 100.0%" in notes


def test_validation_of_known_scenes_is_said(tmp_path: Path) -> None:
    vectors, targets, true = bursts(4, 10, 6)
    texts = means(vectors, targets)
    shot = np.arange(len(true)) % 6
    same, other = shot == 0, true % 10 == 0
    for held, share in ((same, 1.0), (other, 0.0)):
        validation = examples(vectors[held], targets[held], "/other")
        data = examples(vectors[~held], targets[~held])
        trained, notes = learn(tmp_path, data, texts, LinearProbe(c=100.0), validation=validation)
        assert trained.metrics["validation"]["known_scenes"] == share
        assert ("of the validation images are of scenes" in notes) == (share > 0)
