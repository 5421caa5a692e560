"""Every method on two drawn domains: what it gains, and that a broken one gains nothing."""

from dataclasses import replace

import numpy as np
import pytest

from adaptation.domain import gradient_reversal
from adaptation.domain.dann import DANN
from adaptation.domain.distance import mmd
from adaptation.domain.moments import MMD, coral_loss, mmd_loss
from adaptation.domain.pseudo_labels import PseudoLabels
from adaptation.domain.registry import METHODS
from adaptation.domain.selection import source_only
from adaptation.domain.shift import Aligner, Shift
from adaptation.task import Task
from support.shifted import drawn, shifted

torch = pytest.importorskip("torch")

# In points of accuracy.
MARGIN = 0.25


@pytest.fixture(scope="module")
def drawn_domains() -> tuple[Shift, Task]:
    return shifted()


@pytest.mark.parametrize("aligner", [DANN(strength=1.0), MMD(strength=3.0)], ids=lambda a: a.name)
def test_alignment_beats_source_only(aligner: Aligner, drawn_domains: tuple[Shift, Task]) -> None:
    shift, test = drawn_domains
    before = source_only(shift).fitted.accuracy(test)
    aligned = aligner.fit(shift, 0)
    assert aligned.fitted.accuracy(test) > before + MARGIN
    assert aligned.fitted.accuracy(shift.source) > 0.9
    if aligner.name == "mmd":
        after = mmd(aligned.features(shift.source.vectors), aligned.features(shift.target))
        assert after < mmd(shift.source.vectors, shift.target) / 4


def test_without_a_reversed_sign_nothing_is_gained(
    drawn_domains: tuple[Shift, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    reverse = gradient_reversal.reverse_gradient
    monkeypatch.setattr(gradient_reversal, "reverse_gradient", lambda x, s: reverse(x, -s))
    shift, test = drawn_domains
    before = source_only(shift).fitted.accuracy(test)
    broken = DANN(strength=1.0).fit(shift, 0)
    assert broken.fitted.accuracy(test) < before + MARGIN


def test_pseudo_labels_follow_a_small_shift() -> None:
    shift, test = shifted(0.6)
    before = source_only(shift).fitted.accuracy(test)
    aligned = PseudoLabels(confidence=0.9).fit(shift, 0)
    assert aligned.fitted.accuracy(test) > before + 0.02
    assert 0 < aligned.metrics["believed"] <= 1


def test_a_few_labels_of_the_target_help(drawn_domains: tuple[Shift, Task]) -> None:
    shift, test = drawn_domains
    few = Shift(shift.source, shift.target, drawn(3, 5, moved=1.0))
    for aligner in (DANN(strength=0.1, steps=200), PseudoLabels(confidence=0.9)):
        without, given = (aligner.fit(one, 0).fitted.accuracy(test) for one in (shift, few))
        assert given > without + 0.1, aligner.name


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_same_seed_gives_the_same_head(name: str, drawn_domains: tuple[Shift, Task]) -> None:
    shift, test = drawn_domains
    quick = METHODS[name]().candidates()[0]
    if name != "pseudo-labels":
        quick = replace(quick, steps=40)  # type: ignore[call-arg]
    first, second = (quick.fit(shift, 3) for _ in range(2))
    for key, array in first.fitted.arrays.items():
        np.testing.assert_array_equal(array, second.fitted.arrays[key])
    # The head reads the classes from the features that it is said to.
    if first.extractor is not None:
        arrays = first.fitted.arrays
        logits = first.features(test.vectors) @ arrays["weights_out"].T + arrays["bias_out"]
        np.testing.assert_allclose(first.fitted.logits(test.vectors), logits, atol=1e-4)


def test_the_losses_are_those_of_numpy() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(12, 5)), random.normal(size=(9, 5)) * 2 + 1
    apart = np.cov(first.T) - np.cov(second.T)
    found = float(coral_loss(torch.from_numpy(first), torch.from_numpy(second)))
    assert found == pytest.approx((apart**2).sum() / (4 * 5**2))
    assert float(mmd_loss(torch.from_numpy(first), torch.from_numpy(first))) == pytest.approx(0)
    both = np.concatenate([first, second])
    far = ((both[:, None] - both) ** 2).sum(axis=2)
    median = np.median(far[np.triu_indices(21, 1)])
    kernel = np.mean([np.exp(-far / (w * median)) for w in (0.25, 0.5, 1, 2, 4)], axis=0)
    expected = kernel[:12, :12].mean() + kernel[12:, 12:].mean() - 2 * kernel[:12, 12:].mean()
    found = float(mmd_loss(torch.from_numpy(first), torch.from_numpy(second)))
    assert found == pytest.approx(expected, rel=0.02)
