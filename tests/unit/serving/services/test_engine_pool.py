"""Work for the engines: done in the order in which it was asked for, errors to those who asked."""

import asyncio
import threading
from pathlib import Path

import pytest

from indexer.store.collection import Collection
from search import Engine
from serving.services.engine_pool import EnginePool
from serving.services.errors import Busy


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnginePool:
    """A pool whose engine nobody looks at."""
    monkeypatch.setattr(EnginePool, "_engine", lambda self: None)
    return EnginePool(Collection(tmp_path), threads=1, queue=3)


def test_results_and_errors_reach_those_who_asked(pool: EnginePool) -> None:
    def fail(_: Engine) -> int:
        raise ValueError("bad")

    async def main() -> list[int | BaseException]:
        found = pool.run(lambda _: 1), pool.run(fail), pool.run(lambda _: 3)
        return await asyncio.gather(*found, return_exceptions=True)

    first, second, third = asyncio.run(main())
    pool.close()
    assert (first, third) == (1, 3)
    assert isinstance(second, ValueError)


def test_a_result_does_not_wait_for_slow_work_behind_it(pool: EnginePool) -> None:
    go = threading.Event()

    async def main() -> None:
        quick = asyncio.create_task(pool.run(lambda _: 1))
        slow = asyncio.create_task(pool.run(lambda _: go.wait(120)))
        assert await quick == 1
        assert not slow.done()
        go.set()
        assert await slow

    asyncio.run(main())
    pool.close()


def test_work_of_a_client_that_is_gone_is_left_out(pool: EnginePool) -> None:
    go, done = threading.Event(), []

    async def main() -> None:
        first = asyncio.create_task(pool.run(lambda _: go.wait(120)))
        gone = asyncio.create_task(pool.run(lambda _: done.append("gone")))
        last = asyncio.create_task(pool.run(lambda _: done.append("last")))
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await pool.run(lambda _: None)
        gone.cancel()
        await asyncio.sleep(0.01)
        assert pool.waiting == 2
        go.set()
        await asyncio.gather(first, last)

    asyncio.run(main())
    pool.close()
    assert done == ["last"]
