"""Every method there is, against zero-shot."""

import numpy as np
import pytest

from adaptation.data.splits import take_shots
from adaptation.methods.registry import METHODS, RECOMMENDED
from adaptation.model_selection import choose
from adaptation.task import Task
from support.clusters import zero_shot_accuracy


# CoOp learns through an encoder, which is not here: see test_coop.py.
@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"coop"}))
def test_methods_beat_zero_shot_and_are_deterministic(name: str, train: Task, val: Task) -> None:
    chosen = choose(METHODS[name](), train, 3).method
    first, second = (chosen.fit(train, 3) for _ in range(2))
    for array in first.arrays:
        np.testing.assert_array_equal(first.arrays[array], second.arrays[array])
    assert first.accuracy(val) > zero_shot_accuracy(val)


def test_one_example_is_not_below_zero_shot_accuracy(train: Task, val: Task) -> None:
    one = train.subset(take_shots(train.targets, 1, 0))
    chosen = choose(METHODS[RECOMMENDED](), one, 0).method
    assert chosen.fit(one, 0).accuracy(val) >= zero_shot_accuracy(val)
