"""The search among some ids, against brute force."""

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
