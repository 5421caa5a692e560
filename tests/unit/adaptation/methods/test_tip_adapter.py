"""Tip-Adapter and Tip-Adapter-F, against their equation."""

import numpy as np
from scipy.special import log_softmax

from adaptation.methods.tip_adapter import TipAdapter, TipAdapterF
from adaptation.task import Task


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
