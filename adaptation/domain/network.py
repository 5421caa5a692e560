"""A feature extractor and a classifier, trained so that two domains look alike to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from adaptation.task import Fitted, Rows, float32

from .schedules import decayed_rate
from .shift import Aligned, Extractor, Shift

Penalty = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
"""How far apart features of the source `(n, hidden)` and of the target `(m, hidden)` lie, at a
progress of the training from 0 to 1.
"""


@dataclass(frozen=True)
class Training:
    """How the network is trained: by SGD, with the rate and decay of Ganin et al., 2016.

    Attributes:
        hidden: The dimensions of the features.
        dropout: The share of them that the label classifier does without in each step.
        steps: How many.
        batch_size: Images of each domain in a step.
        rate: The learning rate at the start.
        momentum: Of SGD.
        weight_decay: Of SGD.
    """

    hidden: int = 128
    dropout: float = 0.5
    steps: int = 600
    batch_size: int = 64
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-3


def train_network(
    shift: Shift,
    training: Training,
    penalty: Penalty,
    seed: int,
    beside: nn.Module | None = None,
) -> Aligned:
    """Train features on the source's labels, and on a penalty for telling of the domain.

    Where labels of the target are known, a step sees a batch of these, too, with the same weight
    as that of the source.

    Args:
        shift: The two domains.
        training: How to train.
        penalty: Is added to the loss.
        seed: Of weights, dropout and order.
        beside: What the penalty trains besides, such as a domain classifier.
    """
    source, labelled = shift.source, shift.labelled
    dim = source.vectors.shape[1]
    both = np.concatenate([source.vectors, shift.target])
    # Entries of unit vectors have size dim ** -0.5 around a mean that all images share (Liang et
    # al., Mind the Gap, NeurIPS 2022); layers are initialized for size 1 around 0.
    scale, centre = dim**0.5, both.mean(axis=0)

    def prepared(vectors: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(scale * (vectors - centre)))

    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        extract = nn.Linear(dim, training.hidden)
        classify = nn.Linear(training.hidden, source.classes)
        dropout = nn.Dropout(training.dropout)
        sets = [(prepared(source.vectors), torch.from_numpy(source.targets))]
        if labelled is not None and len(labelled.targets):
            sets.append((prepared(labelled.vectors), torch.from_numpy(labelled.targets)))
        unlabelled = prepared(shift.target)
        counts = [len(unlabelled), *(len(known) for _, known in sets)]
        order = [_rows(n, training.batch_size, [seed, i]) for i, n in enumerate(counts)]
        modules = nn.ModuleList([extract, classify, beside or nn.Identity()])
        optimizer = torch.optim.SGD(
            modules.parameters(),
            lr=training.rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
        )
        for step in range(training.steps):
            progress = step / training.steps
            for group in optimizer.param_groups:
                group["lr"] = decayed_rate(progress, training.rate)
            theirs, *ours = (next(one) for one in order)
            loss, seen = torch.zeros(()), []
            for (vectors, known), rows in zip(sets, ours, strict=True):
                features = functional.relu(extract(vectors[rows]))
                loss = loss + functional.cross_entropy(classify(dropout(features)), known[rows])
                seen.append(features)
            there = functional.relu(extract(unlabelled[theirs]))
            loss = loss / len(sets) + penalty(seen[0], there, progress)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    weights = scale * extract.weight.detach().numpy()
    bias = extract.bias.detach().numpy() - weights @ centre
    arrays = float32(
        weights_in=weights,
        bias_in=bias,
        weights_out=classify.weight.detach().numpy(),
        bias_out=classify.bias.detach().numpy(),
    )
    extractor = Extractor(arrays["weights_in"], arrays["bias_in"])
    return Aligned(Fitted("mlp", arrays), extractor)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute in one thread inside.

    A step takes a millisecond, and its threads wait for each other by spinning: where cores are
    shared, that costs many times as much.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rows(count: int, size: int, seed: list[int]) -> Iterator[Rows]:
    """Yield `size` rows at a time, or all where there are fewer, without end."""
    random = np.random.default_rng(seed)
    left = np.empty(0, np.int64)
    while True:
        while len(left) < min(size, count):
            left = np.concatenate([left, random.permutation(count)])
        yield left[:size]
        left = left[size:]
