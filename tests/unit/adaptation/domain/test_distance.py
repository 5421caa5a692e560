"""Distances of two sets of vectors beside what other programs and plain loops say."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression

from adaptation.domain.distance import (
    BANDWIDTHS,
    a_distance,
    by_chance,
    distances,
    domain_accuracy,
    domain_gap,
    frechet,
    mmd,
)
from indexer.encoder import Embeddings


def drawn(count: int, seed: int, *, by: float = 0.0, dim: int = 6) -> Embeddings:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    vectors[:, 0] += by
    return vectors


def test_mmd_is_that_of_loops_over_all_pairs() -> None:
    first, second = drawn(17, 0), drawn(11, 1, by=1.0)
    median = np.median(pdist(np.concatenate([first, second]).astype(np.float64), "sqeuclidean"))

    def kernel(one: np.ndarray, other: np.ndarray) -> float:
        far = float(((one.astype(float) - other.astype(float)) ** 2).sum())
        return float(np.mean([np.exp(-far / (width * median)) for width in BANDWIDTHS]))

    own = np.mean(
        [kernel(a, b) for i, a in enumerate(first) for j, b in enumerate(first) if i != j]
    )
    others = np.mean(
        [kernel(a, b) for i, a in enumerate(second) for j, b in enumerate(second) if i != j]
    )
    between = np.mean([kernel(a, b) for a in first for b in second])
    assert mmd(first, second) == pytest.approx(own + others - 2 * between, abs=1e-6)


def test_mmd_has_no_bias() -> None:
    same = [mmd(drawn(20, 2 * n), drawn(30, 2 * n + 1)) for n in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    assert min(same) < 0 < max(same)
    assert mmd(drawn(20, 0), drawn(30, 1, by=1.0)) > 5 * np.std(same)


@pytest.mark.parametrize(("count", "dim"), [(40, 6), (9, 30)])
def test_frechet_is_that_of_scipys_matrix_root(count: int, dim: int) -> None:
    first, second = drawn(count, 0, dim=dim), 2 * drawn(count + 7, 1, by=3.0, dim=dim)
    both = np.cov(first.T.astype(float)), np.cov(second.T.astype(float))
    # A little on the diagonal: without it, scipy's root of a singular matrix is inexact.
    eps = 1e-9 * np.eye(dim)
    root = sqrtm((both[0] + eps) @ (both[1] + eps))
    apart = ((first.astype(float).mean(axis=0) - second.astype(float).mean(axis=0)) ** 2).sum()
    expected = apart + np.trace(both[0] + both[1] - 2 * root.real)
    assert frechet(first, second) == pytest.approx(expected, rel=1e-3)
    assert frechet(first, first) == pytest.approx(0, abs=1e-6)


def test_proxy_a_distance_is_of_the_errors_on_unseen_images() -> None:
    assert [a_distance(one) for one in (1.0, 0.75, 0.5, 0.3)] == [2.0, 1.0, 0.0, 0.0]
    first, second = drawn(300, 0), drawn(300, 1, by=1.0)
    # Two normal distributions one deviation apart are told by the middle: Φ(½) = 0.691.
    assert domain_accuracy(first, second) == pytest.approx(0.691, abs=0.04)
    assert domain_accuracy(first, second[:60]) == pytest.approx(0.691, abs=0.06)
    assert domain_accuracy(drawn(300, 0), drawn(300, 2)) == pytest.approx(0.5, abs=0.06)
    fresh = LogisticRegression().fit(np.concatenate([first, second]), np.repeat([0, 1], 300))
    new = np.concatenate([drawn(2000, 3), drawn(2000, 4, by=1.0)])
    loss = -np.log(fresh.predict_proba(new)[np.arange(4000), np.repeat([0, 1], 2000)]).mean()
    assert domain_gap(first, second) == pytest.approx(np.log(2) - loss, abs=0.03)


def test_distances_grow_with_the_shift_and_chance_has_none() -> None:
    first = drawn(120, 0)
    found = [distances(first, drawn(90, 1, by=by)) for by in (0.0, 1.0, 2.0)]
    for key in ("mmd", "proxy_a_distance", "frechet", "domain_accuracy"):
        values = [one.to_json()[key] for one in found]
        assert values == sorted(values)
        assert values[2] > values[0]
    chance = by_chance(first, drawn(90, 1, by=2.0))
    assert chance.mmd < found[1].mmd / 4
    assert chance.domain_accuracy < 0.65
    assert distances(first, first + 1) == distances(first, first + 1)
