"""The process that starts the workers of a server, and hands connections to them in turn.

The kernel could choose the worker, and would often give one of them most of a few connections, each
of which lasts for many requests. Here the workers get equally many. What has to be one for all of
them (`serving.shared`) lives here, too. A worker that dies is replaced, and takes its connections
along.
"""

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from indexer.devices.processes import SPAWN, sheltered
from serving.connections import READY
from serving.metrics import SHARED_FOLDER, forget_process
from serving.services.errors import WorkersUnavailable
from serving.settings import Settings
from serving.shared import Shared, make_shared

from .calls import answer_calls
from .worker import run_worker

log = logging.getLogger("clipdex.workers")

# How long a worker may take to end its requests; see `LimitedServer` for how long it gives them.
END_SECONDS = 15.0
# Before a worker that died while it started is started again: at first, and at most.
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0


@dataclass
class _Worker:
    """A worker process. handed: where it takes connections from."""

    process: SpawnProcess
    handed: socket.socket
    ready: bool = False


class Supervisor:
    """Starts the workers of one server, and keeps as many.

    Args:
        create_app: Makes the application, in each worker.
        settings: The server's settings.
        prepare: Called first in each worker, such as to set up the log.
        on_second_signal: What ends this process when it was asked to end and asked again.

    Raises:
        WorkersUnavailable: This system cannot hand connections to another process.
    """

    def __init__(
        self,
        create_app: Callable[..., Any],
        settings: Settings,
        *,
        prepare: Callable[[], None],
        on_second_signal: Callable[[int], None],
    ) -> None:
        if not hasattr(socket, "send_fds"):
            raise WorkersUnavailable(
                "this system cannot share connections among processes: serve with --workers 1"
            )
        self._create_app, self._settings, self._prepare = create_app, settings, prepare
        self._on_second_signal = on_second_signal
        self._workers: list[_Worker] = []
        self._turn = 0
        self._due: list[float] = []
        self._pause = PAUSE_SECONDS
        self._was_ready = False
        self._signals: list[int] = []

    def run(self, listening: socket.socket) -> int:
        """Serve until a signal comes.

        Args:
            listening: The socket that clients connect to.

        Returns:
            The exit code: 0, or 1 if a worker cannot be started at all.
        """
        folder = tempfile.mkdtemp(prefix="clipdex-metrics-")
        os.environ[SHARED_FOLDER] = folder
        shared = make_shared(self._settings)
        woken, wake = socket.socketpair()
        try:
            with self._signals_to(wake):
                for _ in range(self._settings.workers):
                    self._start(shared)
                failed = not self._serve(listening, woken, shared)
                listening.close()
                self._end()
        finally:
            shared.close()
            shutil.rmtree(folder, ignore_errors=True)
            del os.environ[SHARED_FOLDER]
        if self._signals:
            signal.raise_signal(self._signals[0])
        return int(failed)

    def _serve(self, listening: socket.socket, woken: socket.socket, shared: Shared) -> bool:
        """Return True when a signal has come, False when no worker can be started."""
        listening.setblocking(False)
        while not self._signals:
            ready = [one for one in self._workers if one.ready]
            starting = [one for one in self._workers if not one.ready]
            watched: list[Any] = [woken, *(one.process.sentinel for one in self._workers)]
            watched += [one.handed for one in starting]
            watched += [listening] if ready else []
            pause = max(0.0, min(self._due) - time.monotonic()) if self._due else None
            found = wait(watched, pause)
            for one in starting:
                if one.handed in found:
                    self._hear(one)
            for one in [each for each in self._workers if each.process.sentinel in found]:
                if not self._replace(one):
                    return False
            while self._due and min(self._due) <= time.monotonic():
                self._due.remove(min(self._due))
                self._start(shared)
            if listening in found:
                self._accept(listening)
        return True

    def _accept(self, listening: socket.socket) -> None:
        """Hand the next connection to the worker whose turn it is, or to the next with room."""
        try:
            accepted, _ = listening.accept()
        except OSError:  # the client has gone, or there are too many open files
            time.sleep(0.01)
            return
        with accepted:
            for _ in range(len(self._workers)):
                self._turn = (self._turn + 1) % len(self._workers)
                worker = self._workers[self._turn]
                if worker.ready:
                    with suppress(OSError):
                        socket.send_fds(worker.handed, [b"c"], [accepted.fileno()])
                        return

    def _start(self, shared: Shared) -> None:
        ours, theirs = socket.socketpair()
        calls, their_calls = SPAWN.Pipe()
        # Commands on this machine are answered by one worker.
        first = not any(one.process.name == "clipdex worker 1" for one in self._workers)
        settings = replace(self._settings, commands=first)
        with sheltered():
            process = SPAWN.Process(
                target=run_worker,
                args=(self._create_app, settings, theirs, their_calls, self._prepare),
                name="clipdex worker 1" if first else "clipdex worker",
            )
            process.start()
        theirs.close()
        their_calls.close()
        ours.setblocking(False)
        self._workers.append(_Worker(process, ours))
        threading.Thread(target=answer_calls, args=(calls, shared), daemon=True).start()

    def _hear(self, worker: _Worker) -> None:
        with suppress(OSError):
            worker.ready = worker.handed.recv(1) == READY
        if worker.ready:
            self._was_ready = True
            self._pause = PAUSE_SECONDS

    def _replace(self, worker: _Worker) -> bool:
        """Have another worker started for one that has ended; return whether there is a point."""
        self._workers.remove(worker)
        worker.handed.close()
        worker.process.join()
        forget_process(worker.process.pid)
        if not self._was_ready:
            return False
        log.warning("a worker ended (exit code %s): starting another", worker.process.exitcode)
        self._due.append(time.monotonic() + (0.0 if worker.ready else self._pause))
        if not worker.ready:
            self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        return True

    def _end(self) -> None:
        """Let the workers end their requests, and end those that do not."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            worker.handed.close()

    @contextmanager
    def _signals_to(self, wake: socket.socket) -> Iterator[None]:
        """Note the signals that come, and wake up the loop; the second ends the process."""

        def handle(number: int, _: FrameType | None) -> None:
            if self._signals:
                self._on_second_signal(number)
            self._signals.append(number)
            with suppress(OSError):
                wake.send(b"s")

        wake.setblocking(False)
        wanted = [signal.SIGINT, signal.SIGTERM]
        before = {one: signal.signal(one, handle) for one in wanted}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
