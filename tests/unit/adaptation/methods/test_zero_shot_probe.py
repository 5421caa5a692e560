"""The probe that starts from the names of classes."""

from dataclasses import replace

import numpy as np

from adaptation.data.splits import take_shots
from adaptation.methods.zero_shot_probe import ZeroShotProbe, prior_trust
from adaptation.task import Task
from indexer.encoder import unit


def test_a_strong_penalty_keeps_the_prior(train: Task, val: Task) -> None:
    held = ZeroShotProbe(strength=1e6, trust=1.0).fit(train, 0)
    np.testing.assert_allclose(
        held.logits(val.vectors), train.logit_scale * (val.vectors @ train.text.T), atol=1e-3
    )


def test_prior_trust_falls_with_examples_and_bad_names(
    train: Task,
) -> None:
    random = unit(np.random.default_rng(0).normal(size=train.text.shape))
    assert prior_trust(replace(train, text=random)) < 0.3 * prior_trust(train)
    few = train.subset(take_shots(train.targets, 2, 0))
    assert prior_trust(few) > 2 * prior_trust(train)
