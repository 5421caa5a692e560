import numpy as np
import pytest

from indexer.encoder import unit
from indexer.store.approximate.neighbour_index import NeighbourIndex

DIM = 32


def crowd(count: int) -> np.ndarray:
    return unit(np.random.default_rng(3).standard_normal((count, DIM)))


def test_all_pairs_equal_brute_force() -> None:
    vectors = crowd(500)
    ids = np.arange(500) * 7
    index = NeighbourIndex.of([(ids[:300], vectors[:300]), (ids[300:], vectors[300:])])
    found = index.neighbours(vectors[:30], 20)
    best = np.argsort(-(vectors[:30] @ vectors.T), axis=1)[:, :20]
    assert np.array_equal(found, ids[best])


def test_fewer_neighbours_than_asked() -> None:
    vectors = crowd(3)
    found = NeighbourIndex.of([(np.array([5, 6, 7]), vectors)]).neighbours(vectors[:2], 5)
    assert found.shape == (2, 5)
    assert (found[:, 3:] == -1).all()
    assert set(found[0, :3]) == {5, 6, 7}
    assert (NeighbourIndex.of([]).neighbours(vectors, 4) == -1).all()


@pytest.mark.parametrize("cosine", [0.99, 0.95, 0.9])
def test_nearest_lists_hold_what_is_nearly_alike(cosine: float) -> None:
    vectors = crowd(6000)
    noise = unit(np.random.default_rng(4).standard_normal((3000, DIM)))
    noise = unit(noise - (noise * vectors[:3000]).sum(1, keepdims=True) * vectors[:3000])
    vectors[3000:] = cosine * vectors[:3000] + np.sqrt(1 - cosine**2) * noise
    index = NeighbourIndex.of([(np.arange(6000), vectors)], exact=0)
    found = index.neighbours(vectors[:3000], 5)
    recall = (found == np.arange(3000, 6000)[:, np.newaxis]).any(axis=1).mean()
    assert recall >= 0.98
