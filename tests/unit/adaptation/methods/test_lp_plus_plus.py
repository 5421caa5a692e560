"""LP++."""

import numpy as np
from scipy.special import log_softmax

from adaptation.methods.lp_plus_plus import LPPlusPlus
from adaptation.task import Task


def test_lp_plus_plus_reaches_the_minimum_of_its_loss(train: Task) -> None:
    long = LPPlusPlus(iterations=20_000).fit(train, 0)
    own = np.arange(len(train.targets)), train.targets
    losses = [
        -log_softmax(LPPlusPlus(iterations=count).fit(train, 0).logits(train.vectors), axis=1)[
            own
        ].mean()
        for count in (10, 100, 1000)
    ]
    assert losses == sorted(losses, reverse=True)
    assert -log_softmax(long.logits(train.vectors), axis=1)[own].mean() < 0.01
