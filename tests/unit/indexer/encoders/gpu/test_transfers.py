"""The way of a batch over CUDA's streams, with streams that only write down what they are told."""

from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from indexer.encoders.gpu.transfers import Transfers  # noqa: E402


class Stream:
    """Keeps a diary."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name, self.diary = name, diary

    def wait_stream(self, other: "Stream") -> None:
        self.diary.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """CUDA's calls on CPU tensors, written down."""
    written: list[str] = []
    compute, empty = Stream("compute", written), torch.empty

    class Event:
        done = False

        def record(self, stream: Stream) -> None:
            written.append(f"event on {stream.name}")

        def query(self) -> bool:
            return self.done

        def synchronize(self) -> None:
            written.append("wait for event")
            self.done = True

    @contextmanager
    def on(stream: Stream) -> Any:
        written.append(f"on {stream.name}")
        yield
        written.append(f"off {stream.name}")

    def pin(tensor: Any) -> Any:
        written.append("page-lock")
        return tensor

    def make(shape: Any, *, dtype: Any, pin_memory: bool) -> Any:
        assert pin_memory
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: compute)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda _, stream: written.append(f"kept for {stream.name}")
    )
    monkeypatch.setattr(torch, "empty", make)
    return written


def test_copies_have_their_own_stream_and_computing_waits_for_them(diary: list[str]) -> None:
    transfers = Transfers(torch.device("cpu"))
    transfers._copies = Stream("copies", diary)
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)

    def forward(there: Any) -> Any:
        diary.append("forward")
        return there.flatten(1).float()

    arrival = transfers.run(pixels, forward)
    assert not arrival.ready()
    assert np.array_equal(arrival.wait(), pixels.reshape(2, 12))
    assert arrival.ready()
    assert diary == [
        "on copies",
        "page-lock",
        "off copies",
        "compute waits for copies",
        "kept for compute",
        "forward",
        "event on compute",
        "wait for event",
    ]


def test_memory_that_is_page_locked_is_copied_from_as_it_is(
    diary: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: True)
    transfers = Transfers(torch.device("cpu"))
    transfers._copies = Stream("copies", diary)
    transfers.run(np.zeros((1, 3, 2, 2), np.uint8), lambda there: there.flatten(1).float())
    assert "page-lock" not in diary
