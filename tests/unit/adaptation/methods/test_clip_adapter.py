"""CLIP-Adapter, against its equation."""

from dataclasses import replace

import numpy as np
import pytest

from adaptation.methods.clip_adapter import ClipAdapter
from adaptation.task import Task
from indexer.encoder import unit
from support.clusters import zero_shot_accuracy


def test_clip_adapter_is_its_equation(train: Task, val: Task) -> None:
    torch = pytest.importorskip("torch")
    head = ClipAdapter(ratio=0.6).fit(train, 0)
    x, first, last, text = (
        torch.from_numpy(one)
        for one in (
            val.vectors,
            head.arrays["weights_in"],
            head.arrays["weights_out"],
            train.text,
        )
    )
    adapted = torch.relu(torch.relu(x @ first.T) @ last.T)
    mixed = torch.nn.functional.normalize(0.6 * adapted + 0.4 * x, dim=1)
    np.testing.assert_allclose(head.logits(val.vectors), 20 * mixed @ text.T, atol=1e-4)


def test_clip_adapter_learns_its_bottleneck_only(train: Task, val: Task) -> None:
    worse = unit(train.text + 0.2 * np.random.default_rng(0).normal(size=train.text.shape))
    train, val = replace(train, text=worse), replace(val, text=worse)
    few = ClipAdapter(ratio=0.4, epochs=1).fit(train, 0)
    many = ClipAdapter(ratio=0.4).fit(train, 0)
    moved = {name for name, one in few.arrays.items() if not np.array_equal(one, many.arrays[name])}
    assert moved == {"weights_in", "weights_out"}
    learnt = sum(many.arrays[name].size for name in moved)
    assert learnt == ClipAdapter().parameters(train.vectors.shape[1]) == 2 * 32 * 16
    np.testing.assert_array_equal(many.arrays["weights"], 20 * train.text)
    assert many.accuracy(val) > zero_shot_accuracy(val) + 0.03


def test_clip_adapter_is_under_2_percent_of_the_model() -> None:
    assert ClipAdapter().parameters(512) < 0.02 * 22.6e6 < ClipAdapter(reduction=1).parameters(512)
