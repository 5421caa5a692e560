"""Verification of pairs, against every pair by itself."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.verification import verify
from support.clusters import clustered


def test_verification_counts_pairs() -> None:
    task = clustered(12, 0)
    found = verify(task.vectors, task.targets)
    pairs = list(combinations(range(len(task.targets)), 2))
    cosines = np.array([task.vectors[a] @ task.vectors[b] for a, b in pairs])
    same = np.array([task.targets[a] == task.targets[b] for a, b in pairs])
    closer = (cosines[same][:, None] > cosines[~same]).mean()
    shares = [(((cosines >= at) & ~same).sum() / (~same).sum(), ((cosines < at) & same).sum()
               / same.sum()) for at in cosines]  # fmt: skip
    crossing = min(shares, key=lambda pair: abs(pair[0] - pair[1]))
    assert found.pairs == len(pairs)
    assert found.auc == pytest.approx(closer, abs=1e-4)
    assert found.eer == pytest.approx(np.mean(crossing), abs=1e-3)
