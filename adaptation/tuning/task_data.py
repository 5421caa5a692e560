"""What a run learns from: labelled or captioned images, split, with their objective."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from adaptation.data.examples import Examples
from adaptation.data.grouping import copies_and_scenes
from adaptation.data.pairs import Pairs
from adaptation.data.splits import folds, scene_folds
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.task import Rows, Scenes, Targets, Task
from adaptation.train import task_of
from indexer.bundles.bundle import Bundle
from indexer.encoder import Encoder
from indexer.errors import ExamplesError
from indexer.images.decode import Limits
from indexer.store.content_hash import digest
from indexer.tokenizers.load import load_tokenizer

from .image_dataset import Images
from .inputs import Stored
from .objectives import Classification, Contrastive, MovingCaptions, Objective
from .settings import Tuning
from .text_tower import ClipText, Texts
from .trainer import Split


@dataclass(frozen=True)
class TaskData:
    """The data of a run and its objective.

    Attributes:
        objective: The loss.
        training: The images to train on.
        held_out: The images to choose by; a scene is held out as a whole.
        key: Equal for the same images, labels or captions, and base model.
    """

    objective: Objective
    training: Split
    held_out: Split
    key: str


def of_examples(
    base: Bundle, encoder: Encoder, examples: Examples, seed: int, templates: Sequence[str]
) -> TaskData:
    """Return the data for labelled images.

    The head starts from the zero-shot probe's optimum on the frozen tower, which is phase one.

    Raises:
        ExamplesError: Nothing can be held out.
    """
    split = _split(examples, examples.targets, seed)
    task = replace(task_of(examples, encoder, templates), copies=split.copies, scenes=split.scenes)
    head = start_head(task.subset(split.training))
    known = [*examples.classes, str(examples.targets.tolist())]
    return _task_data(base, Classification(head), examples, examples.targets, split, known)


def of_pairs(
    base: Bundle,
    encoder: Encoder,
    pairs: Pairs,
    settings: Tuning,
    text: ClipText | None = None,
) -> TaskData:
    """Return the data for captioned images.

    Args:
        base: The model to start from.
        encoder: Its encoder, which gives the vectors of a tower that does not move.
        pairs: The images and captions.
        settings: Which towers move.
        text: The text tower, where it moves.

    Raises:
        ExamplesError: Nothing can be held out.
    """
    split = _split(pairs, np.zeros(len(pairs.paths), np.int64), settings.seed)
    captions = list(pairs.captions)
    objective: Objective
    if text is None:
        objective = Contrastive(encoder.encode_texts(captions), base.logit_scale)
    else:
        ids = load_tokenizer(base)(captions)
        texts = Texts(ids, base.text.pad, base.text.cut)
        objective = MovingCaptions(text, texts, base.logit_scale, settings.at_once)
    known = [*pairs.captions, str(pairs.own.tolist())]
    data = _task_data(base, objective, pairs, pairs.own, split, known)
    if settings.towers != "text":
        return data
    sides = (
        replace(side, images=Stored(pairs.vectors[rows]))
        for side, rows in ((data.training, split.training), (data.held_out, split.held_out))
    )
    training, held_out = sides
    return replace(data, training=training, held_out=held_out)


@dataclass(frozen=True)
class _Parts:
    """A split by scenes, and what it goes by."""

    training: Rows
    held_out: Rows
    copies: Scenes
    scenes: Scenes


def _split(data: Examples | Pairs, strata: Targets, seed: int) -> _Parts:
    """Split images into those to train on and those to choose by; a scene stays on one side.

    Args:
        data: The images.
        strata: `(n,)`, of which both sides get their share.
        seed: Of the split.

    Raises:
        ExamplesError: Nothing can be held out.
    """
    copies, scenes = copies_and_scenes(data.vectors, strata, data.paths)
    # Where every class is of one scene, shots of it are better than nothing to stop by.
    parts = scene_folds(strata, seed, scenes, copies=copies) or folds(strata, seed, groups=copies)
    if not parts:
        raise ExamplesError(
            "at least two different images of a class are needed, since one is held out"
        )
    return _Parts(*parts[0], copies, scenes)


def _task_data(
    base: Bundle,
    objective: Objective,
    data: Examples | Pairs,
    targets: Targets,
    split: _Parts,
    known: list[str],
) -> TaskData:
    training, held_out = (
        Split(Images([data.paths[row] for row in rows], base.image, Limits()), targets[rows])
        for rows in (split.training, split.held_out)
    )
    if (split.scenes != split.copies).any():
        # Earlier versions held out other images, and their interrupted runs have trained on these.
        known = [*known, str(split.held_out.tolist())]
    text = "\n".join([base.fingerprint, *known]).encode()
    return TaskData(objective, training, held_out, digest(text + b"".join(data.digests)).hex())


def start_head(task: Task) -> nn.Linear:
    """Return the zero-shot probe's optimum on the frozen tower as a layer."""
    fitted = choose(ZeroShotProbe(), task, 0).method.fit(task, 0)
    head = nn.Linear(task.vectors.shape[1], task.classes)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.arrays["weights"]))
        head.bias.copy_(torch.from_numpy(fitted.arrays["bias"]))
    return head
