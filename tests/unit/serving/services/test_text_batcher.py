"""Texts of concurrent requests: shared passes, kept vectors, errors for all who wait."""

import asyncio
import threading

import numpy as np
import pytest

from indexer.encoder import Embeddings
from indexer.testing import FakeEncoder
from serving.services.errors import Busy
from serving.services.text_batcher import TextBatcher


class Slow:
    """An encoder that waits until it may go on, and notes its passes."""

    def __init__(self) -> None:
        self.passes: list[list[str]] = []
        self.go = threading.Event()

    def __call__(self, texts: list[str]) -> Embeddings:
        self.passes.append(texts)
        assert self.go.wait(120)
        if "bad" in texts:
            raise ValueError("bad")
        return FakeEncoder().encode_texts(texts)


def test_waiting_texts_are_encoded_together() -> None:
    slow = Slow()

    async def main() -> list[Embeddings]:
        batcher = TextBatcher(slow, queue=100)
        first = asyncio.create_task(batcher.encode(["first"]))
        while not slow.passes:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher.encode([f"{n}", "not"])) for n in range(5)]
        await asyncio.sleep(0.01)
        slow.go.set()
        found = await asyncio.gather(first, *others)
        batcher.close()
        return found

    found = asyncio.run(main())
    assert slow.passes[0] == ["first"]
    assert len(slow.passes) == 2
    for number, vectors in enumerate(found[1:]):
        assert np.array_equal(vectors, FakeEncoder().encode_texts([f"{number}", "not"]))


def test_a_pass_waits_as_long_as_it_is_told() -> None:
    slow = Slow()
    slow.go.set()

    async def main() -> None:
        worth_it = asyncio.Event()

        async def gather() -> None:
            await worth_it.wait()

        batcher = TextBatcher(slow, queue=100, gather=gather)
        tasks = [asyncio.create_task(batcher.encode(["first"]))]
        await asyncio.sleep(0.01)
        tasks.append(asyncio.create_task(batcher.encode(["second"])))
        await asyncio.sleep(0.01)
        assert slow.passes == []
        worth_it.set()
        await asyncio.gather(*tasks)
        batcher.close()

    asyncio.run(main())
    assert slow.passes == [["first", "second"]]


def test_without_batching_each_request_is_a_pass() -> None:
    slow = Slow()
    slow.go.set()

    async def main() -> None:
        batcher = TextBatcher(slow, queue=100, batching=False)
        await asyncio.gather(*(batcher.encode([f"{n}"]) for n in range(5)))
        batcher.close()

    asyncio.run(main())
    assert slow.passes == [[f"{n}"] for n in range(5)]


def test_the_oldest_cached_vectors_are_evicted() -> None:
    slow = Slow()
    slow.go.set()

    async def main() -> None:
        batcher = TextBatcher(slow, queue=100, cache=2)
        for text in ("a", "b", "a", "c", "a", "b"):
            await batcher.encode([text])
        batcher.close()

    asyncio.run(main())
    assert slow.passes == [["a"], ["b"], ["c"], ["b"]]


def test_a_full_queue_is_busy_and_errors_are_passed_on() -> None:
    slow = Slow()

    async def main() -> None:
        batcher = TextBatcher(slow, queue=2)
        first = asyncio.create_task(batcher.encode(["first"]))
        while not slow.passes:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(batcher.encode([text])) for text in ("bad", "good")]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await batcher.encode(["more"])
        slow.go.set()
        assert (await first).shape == (1, 32)
        assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [
            ValueError,
            ValueError,
        ]
        assert (await batcher.encode(["good"])).shape == (1, 32)  # it goes on
        batcher.close()

    asyncio.run(main())


def test_a_client_that_is_gone_does_not_stop_the_others() -> None:
    slow = Slow()

    async def main() -> None:
        batcher = TextBatcher(slow, queue=100)
        tasks = [asyncio.create_task(batcher.encode([f"{n}"])) for n in range(3)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        slow.go.set()
        assert (await tasks[0]).shape == (await tasks[2]).shape == (1, 32)
        batcher.close()

    asyncio.run(main())
