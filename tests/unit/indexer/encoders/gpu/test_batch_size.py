"""Sizes found by trial, and what happens when memory runs out all the same."""

import numpy as np
import pytest

from indexer.encoders.gpu.batch_size import NEAR_FULL, Halving, find_batch_size
from indexer.errors import OutOfMemory


class Memory:
    """A device that holds a model and so many images; keeps which sizes were tried."""

    def __init__(self, images: float, *, model: float = 0.0) -> None:
        self.model = model
        self.each = (1 - model) / images
        self.tried: list[int] = []

    def use(self, size: int) -> float:
        self.tried.append(size)
        used = self.model + size * self.each
        if used > 1:
            raise OutOfMemory("memory is full")
        return used


@pytest.mark.parametrize("fits", [1, 2, 3, 7, 16, 17, 40, 100, 500, 1300, 5000])
@pytest.mark.parametrize("model", [0.0, 0.5])
def test_the_size_found_fits_and_twice_as_many_would_not(fits: int, model: float) -> None:
    memory = Memory(fits, model=model)
    size = find_batch_size(memory.use, idle=model)
    assert memory.use(size) <= NEAR_FULL or size == 1
    assert size == 1024 or model + 2 * size * memory.each > NEAR_FULL


def test_sizes_that_cannot_fit_are_not_tried() -> None:
    memory = Memory(100)
    assert find_batch_size(memory.use) == 64
    assert memory.tried == [16, 32, 64]


def test_memory_that_grows_faster_than_the_batch_is_found_out_by_trial() -> None:
    tried: list[int] = []

    def use(size: int) -> float:
        tried.append(size)
        if size > 64:
            raise OutOfMemory("memory is full")
        return 0.001 * size

    assert find_batch_size(use) == 64
    assert tried == [16, 32, 64, 128]


def test_no_more_is_tried_than_there_are_images() -> None:
    memory = Memory(10_000)
    assert find_batch_size(memory.use, most=50) == 50
    assert find_batch_size(memory.use, most=5) == 5
    assert max(memory.tried) == 50


def test_a_device_that_is_too_small_for_one_image_names_the_way_out() -> None:
    with pytest.raises(OutOfMemory, match="--device cpu"):
        find_batch_size(Memory(0.5).use)


@pytest.mark.parametrize("fits", [1, 2, 3, 5, 8, 31, 32, 33, 1000])
def test_batches_too_large_are_encoded_in_parts_and_none_is_lost(fits: int) -> None:
    halving = Halving(32)
    images = np.arange(100)

    def encode(part: slice) -> np.ndarray:
        if len(images[part]) > fits:
            raise OutOfMemory("memory is full")
        return images[part]

    for _ in range(2):
        assert np.concatenate(halving.run(100, encode)).tolist() == list(range(100))
    assert halving.limit <= max(fits, 1)
    assert 2 * halving.limit > min(fits, 16)


def test_the_smaller_size_is_remembered() -> None:
    calls: list[int] = []

    def encode(part: slice) -> None:
        calls.append(part.stop - part.start)
        if calls[-1] > 10:
            raise OutOfMemory("memory is full")

    halving = Halving(40)
    halving.run(40, encode)
    assert calls == [40, 20, 10, 10, 10, 10]
    calls.clear()
    halving.run(40, encode)
    assert calls == [10, 10, 10, 10]


def test_one_image_that_does_not_fit_ends_with_what_to_do() -> None:
    def encode(part: slice) -> None:
        raise OutOfMemory("memory is full")

    with pytest.raises(OutOfMemory, match="memory is full.*--device cpu"):
        Halving(8).run(8, encode)


def test_other_errors_pass_through() -> None:
    def encode(part: slice) -> None:
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        Halving(8).run(8, encode)
