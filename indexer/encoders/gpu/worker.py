"""The process of one GPU, seen from the process that gives it files."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from indexer.devices.processes import SPAWN, sheltered
from indexer.errors import ModelError
from indexer.store.rows import Task

from .feeding import Answer, Run, TensorEncoder, main

# How long a process may take to end after it was asked to, in seconds.
END_SECONDS = 5.0


class Worker:
    """Starts the process of a device.

    Answers are taken in as they come, so that neither side waits for the other with a full pipe.

    Args:
        device: What to call it in messages, such as "cuda:0".
        load: Makes the encoder, over there.
    """

    def __init__(self, device: str, load: Callable[[], TensorEncoder]) -> None:
        self.device = device
        self.idle = False
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._connection, theirs = SPAWN.Pipe()
        # Not a daemon, which could not have decoding processes of its own.
        self.process = SPAWN.Process(target=main, args=(theirs, load), name=f"clipdex {device}")
        with sheltered():
            self.process.start()
        theirs.close()  # so that the pipe breaks when the process ends
        self._reader = threading.Thread(target=self._read, name=f"from {device}", daemon=True)
        self._reader.start()

    def send(self, message: Run | Sequence[Task] | None) -> None:
        """Begin a run, give it a chunk of tasks, or end it with None; the process, too."""
        self.idle = False
        with suppress(OSError):  # it has died: `answer` says so
            self._connection.send(message)

    def answer(self) -> Any:
        """Return the next answer: the precision at first, then one for each chunk.

        Raises:
            ModelError: The process failed, or has died.
        """
        answer: Answer | str | Exception = self._answers.get()
        if isinstance(answer, Exception):
            self._answers.put(answer)  # for whoever asks again
            raise answer
        return answer

    def close(self) -> None:
        """End the process, by force where it takes too long."""
        if self.idle:
            self.send(None)
        else:
            self.process.terminate()
        self.process.join(END_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self._reader.join()
        self._connection.close()

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._answers.put(self._connection.recv())
        self.process.join(END_SECONDS)
        self._answers.put(
            ModelError(
                f"the process that encodes on {self.device} has ended "
                f"({_how(self.process.exitcode)}), perhaps for lack of memory. What was indexed is "
                "kept: run the same command to go on, with --batch-size or --device cpu if it "
                "happens again"
            )
        )


def _how(code: int | None) -> str:
    """Return an exit code in words."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
