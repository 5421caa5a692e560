"""The reversed gradient beside finite differences, and DANN's schedules by their values."""

import math

import numpy as np
import pytest

from adaptation.domain.schedules import decayed_rate, reversal_strength

torch = pytest.importorskip("torch")

from adaptation.domain.gradient_reversal import DomainClassifier, reverse_gradient  # noqa: E402

STEP = 1e-4


def test_the_gradient_is_minus_strength_times_the_slope() -> None:
    torch.manual_seed(0)
    weights = torch.randn(5, dtype=torch.float64)

    def value(features: torch.Tensor) -> torch.Tensor:
        return torch.sin(features @ weights).sum() + (features**3).mean()

    features = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    passed = reverse_gradient(features, 0.7)
    torch.testing.assert_close(passed, features)
    value(passed).backward()
    slopes = np.empty((4, 5))
    for place in np.ndindex(4, 5):
        moved = [features.detach().clone() for _ in range(2)]
        moved[0][place] += STEP
        moved[1][place] -= STEP
        slopes[place] = float(value(moved[0]) - value(moved[1])) / (2 * STEP)
    np.testing.assert_allclose(features.grad.numpy(), -0.7 * slopes, atol=1e-6)


def test_the_domain_classifier_learns_and_the_features_unlearn() -> None:
    torch.manual_seed(0)
    classifier = DomainClassifier(6, 8).double()
    source, target = (torch.randn(9, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = classifier.loss(source, target, 0.5)
    logits = torch.cat([classifier(source), classifier(target)])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.cat([torch.zeros(9), torch.ones(9)]).double()
    )
    torch.testing.assert_close(loss, expected)
    plain = torch.autograd.grad(expected, [source, *classifier.parameters()])
    reversed_ = torch.autograd.grad(loss, [source, *classifier.parameters()])
    torch.testing.assert_close(reversed_[0], -0.5 * plain[0])
    for mine, theirs in zip(reversed_[1:], plain[1:], strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_strength_follows_the_papers_schedule() -> None:
    assert reversal_strength(0) == 0
    assert reversal_strength(0.1) == pytest.approx(0.46211716)
    assert reversal_strength(0.5) == pytest.approx(0.98661430)
    assert reversal_strength(1) == pytest.approx(0.99990920)
    assert reversal_strength(0.3) == pytest.approx(2 / (1 + math.exp(-3)) - 1)


def test_the_rate_decays_as_in_the_paper() -> None:
    assert decayed_rate(0, 0.01) == 0.01
    assert decayed_rate(0.5, 0.01) == pytest.approx(0.0026084743)
    assert decayed_rate(1, 0.01) == pytest.approx(0.0016556003)
