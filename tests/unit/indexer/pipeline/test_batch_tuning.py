"""The size of a batch, found by measuring."""

from collections.abc import Mapping

import pytest

from indexer.pipeline.batch_tuning import BATCHES, BatchTuner

THREADS = 2


def settle(costs: Mapping[int, float]) -> tuple[BatchTuner, list[int]]:
    """A tuner that has measured these seconds an image, and the sizes of the batches it saw."""
    tuner = BatchTuner(tuple(costs), THREADS)
    seen = []
    while not tuner.settled:
        seen.append(tuner.size)
        tuner.note(tuner.size, tuner.size * costs[tuner.size])
        assert len(seen) < 1000
    return tuner, seen


@pytest.mark.parametrize(
    ("costs", "best"),
    [
        ({1: 10.0, 2: 10.0, 4: 10.0, 8: 10.0}, 1),
        ({1: 10.0, 2: 9.0, 4: 8.9, 8: 5.0}, 2),  # 8 is not tried: 4 was hardly better
        ({1: 10.0, 2: 8.0, 4: 7.0, 8: 6.0}, 8),
        ({1: 10.0, 2: 12.0, 4: 7.0, 8: 6.0}, 1),
    ],
)
def test_the_smallest_cheap_batch_size_is_kept(costs: Mapping[int, float], best: int) -> None:
    tuner, _ = settle(costs)
    assert tuner.size == best


def test_a_size_larger_than_the_next_one_is_never_tried() -> None:
    _, seen = settle({1: 10.0, 2: 10.0, 4: 1.0, 8: 1.0})
    assert max(seen) == 2
    assert seen.count(1) == THREADS + BATCHES


def test_partial_and_first_batches_do_not_count() -> None:
    tuner = BatchTuner((4, 8), THREADS)
    for _ in range(100):
        tuner.note(3, 0.001)
    assert not tuner.settled
    for _ in range(THREADS):
        tuner.note(4, 4000.0)  # the first batch of each thread
    for _ in range(BATCHES):
        tuner.note(4, 4.0)
    assert tuner.size == 8
    for _ in range(THREADS + BATCHES):
        tuner.note(8, 8.0)
    assert (tuner.size, tuner.settled) == (4, True)
