"""A process that encodes images on one device, seen from the process that feeds it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import Any

from indexer.devices.processes import SPAWN, sheltered
from indexer.errors import ModelError

from .worker_main import Runner, main

# What a process that was told to end may take, in seconds.
PATIENCE = 5.0


class Worker:
    """Starts the process; `loaded` is done when its runner is (or has failed to load).

    title: what to call it in messages, such as "cuda:0". load: makes the runner, over there.
    Requests may come from several threads.
    """

    def __init__(self, title: str, load: Callable[[], Runner]) -> None:
        self.title = title
        self.loaded: Future[Any] = Future()
        self._waiting: dict[int, Future[Any]] = {0: self.loaded}
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._dead: ModelError | None = None
        self._connection, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(
            target=main, args=(theirs, load), name=f"clipdex {title}", daemon=True
        )
        with sheltered():
            self.process.start()
        theirs.close()  # so that the pipe breaks when the process ends
        self._reader = threading.Thread(target=self._read, name=f"from {title}", daemon=True)
        self._reader.start()

    def request(self, verb: str, *arguments: Any) -> Future[Any]:
        """Ask for something; the future raises what the process could not do, as ModelError, and
        that it has died.
        """
        future: Future[Any] = Future()
        with self._lock:
            if self._dead is not None:
                future.set_exception(self._dead)
                return future
            number = next(self._numbers)
            self._waiting[number] = future
            with suppress(OSError):  # died just now: the reader says so to all that wait
                self._connection.send((number, verb, arguments))
        return future

    def close(self) -> None:
        """End the process, by force where it does not listen; waits for it."""
        self.request("end")
        self._reader.join(PATIENCE if self.loaded.done() else 0)
        if self._reader.is_alive():
            self.process.kill()
            self._reader.join()
        self._connection.close()

    def _read(self) -> None:
        """Hand out answers until the process ends, then tell whoever still waits."""
        with suppress(EOFError, OSError):
            while True:
                number, result = self._connection.recv()
                with self._lock:
                    future = self._waiting.pop(number)
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        self.process.join()
        with self._lock:
            self._dead = ModelError(
                f"the process that encodes on {self.title} has ended "
                f"({_how(self.process.exitcode)}), perhaps for lack of memory. What was indexed is "
                "kept: run the same command to go on, with --batch-size or --device cpu if it "
                "happens again"
            )
            left, self._waiting = self._waiting, {}
        for future in left.values():
            future.set_exception(self._dead)


def _how(code: int | None) -> str:
    """An exit code in words."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
