"""Searches, and counts of what scores above a minimum, against brute force."""

import numpy as np
import pytest

from indexer.encoder import unit
from indexer.store.fp16_index import Flat
from indexer.store.vector_index import VectorIndex


@pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 0.0])
@pytest.mark.parametrize("order", ["ascending", "mixed"])
def test_a_search_among_ids_is_brute_force(share: float, order: str) -> None:
    random = np.random.default_rng(3)
    given = unit(random.standard_normal((4000, 16)))
    vectors = unit(given.astype(np.float16))  # as they are kept
    ids = np.arange(10, 4010)
    if order == "mixed":
        random.shuffle(ids)
    parts = []
    for part in (slice(0, 3000), slice(3000, 4000)):
        parts.append(Flat.of(ids[part], given[part]))
    removed, without = ids[:50], ids[50:90]
    searched = VectorIndex(parts, removed.tolist(), 1)
    among = np.sort(random.choice(np.arange(0, 5000), int(share * 4000), replace=False))
    for query in random.standard_normal((5, 16)).astype(np.float32):
        keep = np.isin(ids, among) & ~np.isin(ids, np.concatenate([removed, without]))
        truth = (vectors @ query)[keep]
        best = np.lexsort((ids[keep], -truth))[:30]
        least = float(np.median(vectors[keep] @ query)) if keep.any() else 0.0
        above = searched.above(query, least, without=without.tolist(), among=among)
        near = np.abs(vectors @ query - least) < 1e-5  # rounding decides on these
        wanted = ids[keep & (vectors @ query >= least) & ~near]
        assert set(wanted.tolist()) <= set(above.tolist()) <= set(ids[keep].tolist())
        assert len(above) <= len(wanted) + int((keep & near).sum())
        scores, found = searched.search(query, 30, without=without.tolist(), among=among)
        assert np.allclose(scores, truth[best], atol=1e-5)
        assert found.tolist() == ids[keep][best].tolist()


@pytest.mark.parametrize("size", [0, 3, 700, 12_000])
@pytest.mark.parametrize("kind", ["all differ", "half are equal"])
@pytest.mark.parametrize("gone", [0.0, 0.1, 0.9])
def test_a_search_and_the_count_after_it_are_brute_force(size: int, kind: str, gone: float) -> None:
    random = np.random.default_rng(size)
    given = unit(random.standard_normal((size + 40, 16)))
    if kind == "half are equal":
        given[random.integers(0, len(given), len(given) // 2)] = given[0]
    ids = random.permutation(2 * len(given))[: len(given)].astype(np.int64) + 1
    parts = [Flat.of(ids[:size], given[:size]), Flat.of(ids[size:], given[size:])]
    vectors = unit(given.astype(np.float16))  # as they are kept
    leave = np.flatnonzero(random.random(len(ids)) < gone)
    removed, without = ids[leave[::2]], ids[leave[1::2]].tolist()
    searched = VectorIndex(parts, removed.tolist(), 1)
    keep = np.ones(len(ids), bool)
    keep[leave] = False
    for query in (given[0], *unit(random.standard_normal((2, 16)).astype(np.float32))):
        truth = (vectors @ query)[keep]
        for count in (1, 20, 300):
            scores, found = searched.search(query, count, without=without)
            best = np.sort(truth)[::-1][:count]
            assert np.allclose(scores, best, atol=1e-5)
            assert len(found) == len(set(found.tolist())) == len(best)
            assert np.isin(found, ids[keep]).all()
            # Of what the search has found, beyond it, and of other queries.
            for least in (best[len(best) // 2], best[-1] - 0.1, -1.0) if len(best) else (0.0,):
                asked = float(least) + 5e-4
                for given_query in (query, query.copy()):
                    number = searched.count_above(given_query, asked, without=without)
                    assert (truth >= asked + 1e-5).sum() <= number <= (truth >= asked - 1e-5).sum()
