"""Every method against its equations, or against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from adaptation.data.splits import take_shots
from adaptation.methods.clip_adapter import ClipAdapter
from adaptation.methods.linear_probe import COARSE, LinearProbe
from adaptation.methods.lp_plus_plus import LPPlusPlus
from adaptation.methods.nearest_neighbours import NearestNeighbours
from adaptation.methods.prototypes import Prototypes
from adaptation.methods.registry import METHODS, RECOMMENDED
from adaptation.methods.siamese import Siamese
from adaptation.methods.softmax_regression import fit_towards_prior
from adaptation.methods.tip_adapter import TipAdapter, TipAdapterF
from adaptation.methods.zero_shot_probe import ZeroShotProbe, prior_trust
from adaptation.model_selection import choose
from adaptation.task import Task
from benchmarks.verification import verify
from indexer.encoder import unit


def zero_shot(task: Task) -> float:
    return float(((task.vectors @ task.text.T).argmax(axis=1) == task.targets).mean())


def mean_loss(task: Task, weights: np.ndarray, bias: np.ndarray | float = 0.0) -> float:
    rows = np.arange(len(task.targets))
    return float(-log_softmax(task.vectors @ weights.T + bias, axis=1)[rows, task.targets].mean())


@pytest.mark.parametrize("c", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("classes", [2, 6])
def test_the_probe_minimizes_its_loss(train: Task, c: float, classes: int) -> None:
    rows = np.flatnonzero(train.targets < classes)
    task = replace(train.subset(rows), text=train.text[:classes])
    penalty = 1 / (2 * c * len(rows))
    fitted = LinearProbe(c=c).fit(task, 0).arrays
    size = classes * (task.vectors.shape[1] + 1)

    def loss(flat: np.ndarray) -> float:
        both = flat.reshape(classes, -1)
        return mean_loss(task, both[:, :-1], both[:, -1]) + penalty * float(
            (both[:, :-1] ** 2).sum()
        )

    def gradient(flat: np.ndarray) -> np.ndarray:
        both = flat.reshape(classes, -1)
        shares = np.exp(log_softmax(task.vectors @ both[:, :-1].T + both[:, -1], axis=1))
        errors = (shares - np.eye(classes)[task.targets]) / len(rows)
        return np.hstack(
            [errors.T @ task.vectors + 2 * penalty * both[:, :-1], errors.sum(axis=0)[:, None]]
        ).ravel()

    assert check_grad(loss, gradient, np.random.default_rng(0).normal(size=size)) < 1e-4
    oracle = minimize(loss, np.zeros(size), jac=gradient, method="BFGS", options={"gtol": 1e-9})
    own = np.hstack([fitted["weights"], fitted["bias"][:, None]])
    assert loss(own.ravel()) == pytest.approx(oracle.fun, abs=1e-7)
    np.testing.assert_allclose(fitted["weights"], oracle.x.reshape(classes, -1)[:, :-1], atol=2e-3)


@pytest.mark.parametrize("strength", [1.0, 0.01, 1e-4])
def test_zero_prior_gives_logistic_regression(train: Task, strength: float) -> None:
    c = 1 / (strength * len(train.targets))
    oracle = LogisticRegression(C=c, fit_intercept=False, tol=1e-10, max_iter=10_000)
    oracle.fit(train.vectors.astype(np.float64), train.targets)
    weights = fit_towards_prior(train, strength, np.zeros_like(train.text))
    losses = [mean_loss(train, w) + strength / 2 * (w**2).sum() for w in (weights, oracle.coef_)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-7)
    np.testing.assert_allclose(weights, oracle.coef_, atol=2e-3)


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


def test_prototypes_are_the_nearest_mean(train: Task, val: Task) -> None:
    means = np.stack([train.vectors[train.targets == c].mean(axis=0) for c in range(6)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    distances = ((val.vectors[:, None] - means) ** 2).sum(axis=2)
    found = Prototypes().fit(train, 0).logits(val.vectors).argmax(axis=1)
    np.testing.assert_array_equal(found, distances.argmin(axis=1))


def test_neighbours_are_scikit_learns(train: Task, val: Task) -> None:
    oracle = KNeighborsClassifier(
        7, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(train.vectors, train.targets)
    head = NearestNeighbours(k=7).fit(train, 0)
    found = np.exp(head.logits(val.vectors))
    np.testing.assert_allclose(found, oracle.predict_proba(val.vectors), atol=1e-4)


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
    assert many.accuracy(val) > zero_shot(val) + 0.03


def test_clip_adapter_is_under_2_percent_of_the_model() -> None:
    assert ClipAdapter().parameters(512) < 0.02 * 22.6e6 < ClipAdapter(reduction=1).parameters(512)


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


# CoOp learns through an encoder, which is not here: see test_coop.py.
@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"coop"}))
def test_methods_beat_zero_shot_and_are_deterministic(name: str, train: Task, val: Task) -> None:
    chosen = choose(METHODS[name](), train, 3).method
    first, second = (chosen.fit(train, 3) for _ in range(2))
    for array in first.arrays:
        np.testing.assert_array_equal(first.arrays[array], second.arrays[array])
    assert first.accuracy(val) > zero_shot(val)


def test_one_example_is_not_below_zero_shot(train: Task, val: Task) -> None:
    one = train.subset(take_shots(train.targets, 1, 0))
    chosen = choose(METHODS[RECOMMENDED](), one, 0).method
    assert chosen.fit(one, 0).accuracy(val) >= zero_shot(val)


def test_choose_maximizes_held_out_accuracy(train: Task) -> None:
    choice = choose(LinearProbe(), train, 0)
    assert choice.method.c is not None
    assert choice.tried >= 8
    assert choice.accuracy == max(choose(LinearProbe(c=c), train, 0).accuracy for c in COARSE)
    assert len(choice.targets) == len(train.targets)  # each held out once


def test_a_siamese_projection_draws_classes_together(train: Task, val: Task) -> None:
    head = Siamese(size=16, steps=200).fit(train, 0)
    before = verify(val.vectors, val.targets)
    after = verify(unit(val.vectors @ head.arrays["projection"].T), val.targets)
    assert after.auc > before.auc
    assert after.eer < before.eer
