"""What runs in a process that encodes images on one device.

It loads a runner, then answers requests `(number, verb, arguments)` with `(number, result)`, a
result being an exception where the request failed. "encode" names a slot and a count, and its
pixels lie in shared memory; the next batch is taken in while one is computed. The other verbs are
the runner's methods. The process ends with the pipe.
"""

from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from indexer.bundles.bundle import Bundle
from indexer.devices.processes import end_with_parent
from indexer.encoder import Embeddings, Pixels
from indexer.errors import ClipdexError, ModelError

from .shared_batches import Slot

# How long to listen for a next batch before looking again whether one is done, in seconds.
LISTEN = 0.0005


class Runner(Protocol):
    """An encoder that takes images and gives vectors in two steps (`TorchEncoder`)."""

    def submit(self, pixels: Pixels) -> Any:
        """Start on `(n, 3, h, w)`; returns a ticket."""

    def ready(self, ticket: Any) -> bool:
        """Whether collecting would not wait."""

    def collect(self, ticket: Any) -> Embeddings:
        """The vectors `(n, dim)`."""

    def pin(self, buffer: Pixels) -> bool:
        """Make copying from `buffer` faster, if possible."""


def load_torch(bundle: Bundle, device: str) -> Runner:
    """The runner of a GPU: open_clip's image tower of a bundle."""
    from indexer.encoders.torch_encoder import runner_of

    return runner_of(bundle, device)


def main(connection: Connection, load: Callable[[], Runner]) -> None:
    """The process: load, say how that went as the answer to request 0, and serve."""
    end_with_parent()
    try:
        runner = load()
    except Exception as exc:  # told to the parent, whatever it is
        _answer(connection, 0, _sendable(exc))
        return
    try:
        _answer(connection, 0, getattr(runner, "precision", None))
        serve(connection, runner)
    except (EOFError, OSError):  # the parent has gone
        return


def serve(connection: Connection, runner: Runner) -> None:
    """Answer requests until the pipe is closed or "end" comes."""
    slots: list[Slot] = []
    flying: deque[tuple[int, Any]] = deque()
    ticket: Any = None
    while True:
        if flying and runner.ready(flying[0][1]):
            number, ticket = flying.popleft()
            _answer(connection, number, _result(runner.collect, ticket))
        elif not flying or connection.poll(LISTEN):
            number, verb, arguments = connection.recv()
            if verb == "end":
                break
            if verb == "encode":
                slot, count = arguments
                ticket = _result(runner.submit, slots[slot].pixels[:count])
                if isinstance(ticket, Exception):
                    _answer(connection, number, ticket)
                else:
                    flying.append((number, ticket))
            elif verb == "share":
                slots = [Slot.attach(*one) for one in arguments]
                _answer(connection, number, [runner.pin(slot.pixels) for slot in slots])
            else:
                _answer(connection, number, _result(getattr(runner, verb), *arguments))
    flying.clear()
    ticket = None  # it holds on to a slot's memory
    for slot in slots:
        slot.close()


def _result(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the exception that it raises."""
    try:
        return call(*arguments)
    except Exception as exc:  # told to the parent, whatever it is
        return _sendable(exc)


def _sendable(exc: Exception) -> ClipdexError:
    """An error that another process understands, without the tensors in its frames."""
    if isinstance(exc, ClipdexError):
        return type(exc)(str(exc))
    reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:300]
    return ModelError(f"{reason}. --device cpu does without torch")


def _answer(connection: Connection, number: int, result: Any) -> None:
    connection.send((number, result))
