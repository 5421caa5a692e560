"""Where matches begin, and what that depends on."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer.encoder import unit
from indexer.load import load_encoder
from search.ranking.relevance import Boundary, Estimator, diverse

finite = st.floats(-50, 50)


@given(finite, st.floats(0.1, 100), st.floats(0, 1), st.lists(st.floats(-1, 1), min_size=1))
def test_the_least_score_is_that_of_the_probability(
    offset: float, slope: float, probability: float, scores: list[float]
) -> None:
    boundary = Boundary(np.float64(offset), slope)
    found = boundary.probability(np.array(sorted(scores)))
    assert (np.diff(found) >= 0).all()
    least = boundary.score_at(probability)
    apart = 1e-9
    for score, estimate in zip(sorted(scores), found, strict=True):
        if score > least + apart:
            assert estimate >= probability
        if score < least - apart:
            assert estimate < probability


def test_queries_are_described_as_numpy_and_scipy_would() -> None:
    bundle = load_encoder().bundle
    queries = bundle.bank[:5]
    estimator = Estimator.of(bundle)
    assert estimator is not None
    photos, bank = bundle.reference.astype(np.float64), bundle.bank.astype(np.float64)
    usual = bank[::4] @ photos[::4].T
    scores = (queries @ photos.T - usual.mean()) / usual.std(axis=1).mean()
    captions = bank[::4] @ bank[::4].T
    captions = captions[~np.eye(250, dtype=bool)].reshape(250, 249)
    likeness = (queries @ bank.T - captions.mean()) / captions.std(axis=1).mean()
    truth = [
        scores.mean(axis=1),
        scores.std(axis=1),
        *np.quantile(scores, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.997), axis=1),
        *(np.log(np.exp(sharp * likeness).mean(axis=1)) / sharp for sharp in (1, 3, 9)),
    ]
    np.testing.assert_allclose(estimator.describe(queries), np.stack(truth, axis=1), atol=1e-3)


def test_the_photos_of_a_model_without_its_own_are_of_everything() -> None:
    random = np.random.default_rng(0)
    mixed = unit(random.normal(0, 1, (200, 64)))
    same = unit(mixed[0] + 0.05 * random.normal(0, 1, (800, 64)))
    chosen = diverse(np.concatenate([same, mixed]))
    own = (chosen @ mixed.T).max(axis=1) > 1 - 1e-6
    assert len(chosen) == 256
    assert own.sum() == 200


def test_a_model_without_photos_estimates_the_same_whatever_a_collection_holds() -> None:
    bundle = load_encoder().bundle
    photos, queries = bundle.reference, bundle.bank[:50]
    scores = photos[500:] @ queries.T

    def estimates(own: np.ndarray, **options: bool) -> np.ndarray:
        one = Estimator(bundle.bank, diverse(own), bundle.relevance, **options)
        return one.boundary("text", queries).probability(scores)

    usual = estimates(photos)
    alike = photos[np.argsort(photos @ photos[0])[-250:]]
    for own in (photos[:1], photos[:3], photos[:100], alike):
        found = estimates(own, are_own=True)
        assert np.isfinite(found).all()
        assert np.corrcoef(found.ravel(), usual.ravel())[0, 1] > 0.8, len(own)
    more = estimates(np.concatenate([alike, photos[:500]]), are_own=True)
    assert np.abs(more - estimates(alike, are_own=True)).max() < 0.15


def test_queries_that_are_described_ahead_have_the_same_boundaries() -> None:
    estimator = Estimator.of(load_encoder("pocket"))
    assert estimator is not None
    dim = estimator.bank.shape[1]
    queries = unit(np.random.default_rng(0).standard_normal((3, dim)))
    alone = [estimator.boundary("text", query).offsets for query in queries]
    estimator.describe_ahead(queries)
    ahead = [estimator.boundary("text", query).offsets for query in queries[:2]]
    other = estimator.boundary("text", unit(queries[0] + queries[1])).offsets
    np.testing.assert_allclose(ahead, alone[:2], atol=1e-4)
    assert abs(float(other) - float(alone[0])) > 1e-3
