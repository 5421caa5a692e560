"""Tip-Adapter and Tip-Adapter-F, against their equation."""

from dataclasses import replace

import numpy as np
from scipy.special import log_softmax

from adaptation.methods.tip_adapter import TipAdapter, TipAdapterF
from adaptation.model_selection import choose
from adaptation.task import Task
from support.bursts import bursts


def test_tip_adapter_is_its_equation_and_its_keys_learn(train: Task, val: Task) -> None:
    head = TipAdapter(alpha=2.0, beta=5.0).fit(train, 0)
    affinity = np.exp(-5 * (1 - val.vectors @ train.vectors.T))
    expected = 20 * val.vectors @ train.text.T + 2 * affinity @ np.eye(6)[train.targets]
    np.testing.assert_allclose(head.logits(val.vectors), expected, atol=1e-4)
    tuned = TipAdapterF(alpha=2.0, beta=5.0).fit(train, 0)
    own = np.arange(len(train.targets)), train.targets
    before, after = (
        -log_softmax(one.logits(train.vectors), axis=1)[own].mean() for one in (head, tuned)
    )
    assert after < before
    np.testing.assert_array_equal(tuned.arrays["values"], head.arrays["values"])


def test_trained_keys_start_from_settings_for_new_scenes() -> None:
    # Shots of the same scene would ask for the sharpest cache, and new scenes do not.
    vectors, targets, scenes = bursts(4, 5, 6, own=0.4)
    random = np.random.default_rng(1).normal(size=(4, vectors.shape[1]))
    task = Task(vectors, targets, (random / np.sqrt(64)).astype(np.float32), 20.0)
    known = replace(task, scenes=scenes)
    (found,) = TipAdapterF().candidates(known)
    best = choose(TipAdapter(), known, 0).method
    assert (found.alpha, found.beta) == (best.alpha, best.beta)
    (memory,) = TipAdapterF().candidates(task)
    assert (found.alpha, found.beta) != (memory.alpha, memory.beta)
