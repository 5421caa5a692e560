import threading

import pytest

from indexer.errors import ImageTooLarge
from indexer.images.memory_budget import Budget
from support.waiting import wait_until


def test_what_fits_does_not_wait() -> None:
    budget = Budget(100)
    with budget.claim() as first, budget.claim() as second:
        first(1, 1, 60)
        second(1, 1, 40)
        assert budget._used == 100
    assert budget._used == 0


def test_more_than_the_whole_is_refused_and_names_the_limit() -> None:
    budget = Budget(2**31)
    with (
        budget.claim() as claim,
        pytest.raises(ImageTooLarge, match=r"^9 x 8 pixels .* limit of 2\.0 GiB \(half of the"),
    ):
        claim(9, 8, 2**31 + 1)
    assert budget._used == 0


def test_a_part_of_the_budget_says_who_has_the_rest() -> None:
    budget = Budget(2**32)
    budget.split(4)
    assert budget.total == 2**30
    with (
        budget.claim() as claim,
        pytest.raises(ImageTooLarge, match=r"1\.0 GiB \(half of the memory here, shared by 4 pro"),
    ):
        claim(9, 8, 2**31)


def test_claims_wait_in_the_order_in_which_they_came() -> None:
    budget, order = Budget(100), []
    first = budget.claim()
    first(1, 1, 80)

    def take(size: int) -> None:
        with budget.claim() as claim:
            claim(1, 1, size)
            order.append(size)

    threads = []
    for size in (90, 10):  # the second would fit at once
        threads.append(threading.Thread(target=take, args=(size,)))
        threads[-1].start()
        wait_until(lambda: len(budget._queue) == len(threads))
    assert order == []
    first.give_back()
    for thread in threads:
        thread.join()
    assert order == [90, 10]
    assert budget._used == 0


def test_claims_that_grow_do_not_wait_for_each_other() -> None:
    budget = Budget(100)
    begun = threading.Barrier(2)
    done = []

    def grow() -> None:
        with budget.claim() as claim:
            claim(1, 1, 50)
            begun.wait()
            claim(1, 1, 80)
            done.append(budget._used)

    threads = [threading.Thread(target=grow) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [80, 80]


def test_a_claim_never_shrinks() -> None:
    budget = Budget(100)
    with budget.claim() as claim:
        claim(1, 1, 50)
        claim(1, 1, 20)
        assert budget._used == 50
