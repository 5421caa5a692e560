"""Two domains of three classes, between which the numbers that tell the classes best move."""

import numpy as np

from adaptation.domain.shift import Shift
from adaptation.task import Task
from indexer.encoder import unit

DIM, CLASSES, NOISE = 16, 3, 0.5
# Numbers 0 to 2 tell the classes in both domains. Numbers 3 to 5 tell them better, so a head of the
# source goes by these, and in the target they are moved, by which the domain can be told, too.
STEADY, STRONG = 1.4, 2.5
MOVED = (3.0, -1.5, -1.5)


def drawn(count: int, seed: int, *, moved: float) -> Task:
    """`count` examples of each class; `moved` is 0 in the source and 1 in the target."""
    random = np.random.default_rng(seed)
    targets = np.repeat(np.arange(CLASSES), count)
    rows = np.arange(len(targets))
    vectors = NOISE * random.normal(size=(len(targets), DIM))
    vectors[rows, targets] += STEADY
    vectors[rows, CLASSES + targets] += STRONG
    vectors[:, CLASSES : 2 * CLASSES] += moved * np.array(MOVED)
    text = np.eye(CLASSES, DIM) + np.eye(CLASSES, DIM, CLASSES) + 0.3
    return Task(
        unit(vectors.astype(np.float32)), targets, unit(text.astype(np.float32)), 10.0, tuple("abc")
    )


def shifted(moved: float = 1.0) -> tuple[Shift, Task]:
    """The two domains, and labelled images of the target that nothing learns from."""
    source, target = drawn(60, 0, moved=0.0), drawn(60, 1, moved=moved)
    return Shift(source, target.vectors), drawn(100, 2, moved=moved)
