import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    top_k_accuracy_score,
)

from search.evaluation import metrics

QUERIES, ITEMS = 40, 60


@pytest.fixture
def scores() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((QUERIES, ITEMS))


@pytest.fixture
def relevant() -> np.ndarray:
    random = np.random.default_rng(1)
    drawn = random.random((QUERIES, ITEMS)) < 0.08
    drawn[np.arange(QUERIES), random.integers(0, ITEMS, QUERIES)] = True
    return drawn


def test_ranks_and_precision_agree_with_sorting_by_hand(
    scores: np.ndarray, relevant: np.ndarray
) -> None:
    ranks, at_ten = [], []
    for row, right in zip(scores, relevant, strict=True):
        order = sorted(range(ITEMS), key=lambda item: -row[item])
        ranks.append(next(n for n, item in enumerate(order, start=1) if right[item]))
        at_ten.append(sum(right[item] for item in order[:10]) / 10)
    found = metrics.first_ranks(scores, relevant)
    assert found.tolist() == ranks
    assert metrics.precisions_at(scores, relevant, 10) == pytest.approx(at_ten, abs=1e-6)
    for k in (1, 5, 10):
        by_hand = sum(rank <= k for rank in ranks) / QUERIES
        assert metrics.recall_at(found, k) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("steps", [None, 3], ids=["distinct scores", "many ties"])
def test_average_precision_is_scikit_learns(
    scores: np.ndarray, relevant: np.ndarray, steps: int | None
) -> None:
    values = scores if steps is None else np.round(scores * steps) / steps
    expected = [average_precision_score(*pair) for pair in zip(relevant, values, strict=True)]
    assert metrics.average_precisions(values, relevant) == pytest.approx(expected, abs=1e-6)


def test_accuracies_are_scikit_learns(scores: np.ndarray) -> None:
    random = np.random.default_rng(2)
    truth = random.integers(0, ITEMS, QUERIES)
    helped = scores + 2.5 * np.eye(ITEMS)[truth]
    right = np.eye(ITEMS, dtype=bool)[truth]
    ranks = metrics.first_ranks(helped, right)
    for k in (1, 5):
        expected = top_k_accuracy_score(truth, helped, k=k, labels=range(ITEMS))
        assert metrics.recall_at(ranks, k) == pytest.approx(expected, abs=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # predicted classes without an image
        expected = balanced_accuracy_score(truth, helped.argmax(axis=1))
    assert metrics.mean_per_class(ranks == 1, right) == pytest.approx(expected, abs=1e-6)


def test_a_tie_counts_against_the_model() -> None:
    scores = np.zeros((1, 20))
    relevant = np.arange(20)[np.newaxis] < 4
    assert metrics.first_ranks(scores, relevant).tolist() == [17]
    assert metrics.precisions_at(scores, relevant, 10).tolist() == [0]
    assert metrics.average_precisions(scores, relevant).tolist() == [0.2]
