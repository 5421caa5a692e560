"""The half-precision FAISS index against brute force."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from indexer.encoder import unit
from indexer.store.fp16_index import Flat
from indexer.store.vector_file import digests_of, fault, size_of

DIM = 64


def crowded(count: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """(ids, vectors) in tight clusters, whose scores differ by less than rounding moves them."""
    random = np.random.default_rng(5)
    centres = unit(random.standard_normal((40, DIM)))
    noise = 3e-4 * random.standard_normal((count, DIM))
    return random.permutation(count) + 7, unit(centres[np.arange(count) % 40] + noise)


def brute_force(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Scores `(n,)` with the unit vectors of what is kept."""
    return unit(vectors.astype(np.float16)) @ query


def test_search_equals_brute_force_despite_rounding() -> None:
    ids, vectors = crowded()
    flat = Flat.of(ids, vectors)
    reordered = 0
    for query in unit(np.random.default_rng(6).standard_normal((20, DIM))):
        truth = brute_force(vectors, query)
        expected = ids[np.lexsort((ids, -truth))[:10]]
        scores, found = flat.best(query, 10, None)
        assert set(found) == set(expected)
        assert np.allclose(np.sort(scores)[::-1], np.sort(truth)[::-1][:10], atol=2e-7)
        _, rough = flat.index.search(query[np.newaxis], 10)
        reordered += set(rough[0]) != set(expected)
    assert reordered, "FAISS alone would have done: this test proves nothing"


def test_fewer_vectors_than_asked() -> None:
    ids, vectors = crowded(40)
    assert Flat.of(ids, vectors).best(vectors[0], 50, None)[1].size == 40
    assert Flat.empty(0, DIM).best(vectors[0], 5, None)[1].size == 0


def test_erased_vectors_are_gone_from_the_file(tmp_path: Path) -> None:
    ids, vectors = crowded(200)
    path = tmp_path / "index"
    Flat.of(ids, vectors).write(path)
    before = path.read_bytes()
    gone = vectors[17].astype("<f2").tobytes()
    assert gone in before
    mapped = Flat.map(path)
    assert mapped is not None
    assert mapped.erase(path, [int(ids[17]), 10**9])
    after = path.read_bytes()
    assert gone not in after
    assert after == before.replace(gone, bytes(len(gone)))
    assert not mapped.erase(path, [int(ids[17])]) or mapped.halves[17].max() == 0


def test_a_written_index_is_mapped_and_answers_the_same(tmp_path: Path) -> None:
    ids, vectors = crowded(2000)
    made = Flat.of(ids, vectors)
    made.write(tmp_path / "index")
    mapped = Flat.map(tmp_path / "index")
    assert mapped is not None
    assert np.array_equal(mapped.halves, made.halves)
    assert np.array_equal(mapped.ids, ids)
    selector = faiss.IDSelectorBatch(ids[:300])
    for query in vectors[:5]:
        one, other = made.best(query, 12, selector), mapped.best(query, 12, selector)
        assert sorted(one[1]) == sorted(other[1])
        assert set(one[1]) <= set(ids[:300])
    whole = (tmp_path / "index").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:50])
    assert Flat.map(tmp_path / "cut") is None
    assert Flat.map(tmp_path / "missing") is None


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_scores_of_chosen_ids_are_exact(share: float) -> None:
    ids, vectors = crowded(3000)
    among = np.sort(np.random.default_rng(8).choice(ids, int(share * 3000), replace=False))
    scores, held = Flat.of(ids, vectors).scores_of(vectors[0], np.append(among, 10**9))
    assert held.tolist() == among.tolist()
    truth = dict(zip(ids.tolist(), brute_force(vectors, vectors[0]).tolist(), strict=True))
    assert np.allclose(scores, [truth[number] for number in among.tolist()], atol=1e-6)


@pytest.mark.parametrize("count", [1, 300])
def test_the_file_is_what_faiss_writes(count: int, tmp_path: Path) -> None:
    flat = Flat.of(*crowded(count))
    flat.write(tmp_path / "ours")
    faiss.write_index(flat.index, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert (tmp_path / "ours").stat().st_size == size_of(count, DIM)
    digests = digests_of(tmp_path / "ours")
    assert fault(tmp_path / "ours", count, DIM, digests) is None
    assert "bytes" in str(fault(tmp_path / "ours", count + 1, DIM, digests))
    assert "checksums" in str(fault(tmp_path / "ours", count, DIM, bytes(len(digests))))
    assert "missing" in str(fault(tmp_path / "none", count, DIM, digests))


@pytest.mark.parametrize("share", [0.0, 0.003, 0.2, 0.9, 1.0])
def test_all_above_a_score_are_found(share: float) -> None:
    random = np.random.default_rng(7)
    vectors = random.normal(0, 1, (5000, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[4000:] = vectors[:1000]  # many scores are equal
    ids = random.permutation(5000).astype(np.int64)
    flat = Flat.of(ids, vectors.astype(np.float16).astype(np.float32))
    query = vectors[3].astype(np.float32)
    truth = brute_force(flat.halves, query)
    least = float(np.quantile(truth, 1 - share)) if share else 2.0
    chosen = ids[truth >= least]
    assert set(flat.above(query, least, None).tolist()) == set(chosen.tolist())
    some = faiss.IDSelectorRange(1000, 3000)
    kept = {one for one in chosen.tolist() if 1000 <= one < 3000}
    assert set(flat.above(query, least, some).tolist()) == kept
