"""Calls of a worker to what the process that started it holds.

The two are connected by a pipe that no other process can reach, so that what comes out of it may be
unpickled.
"""

import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, cast

from serving.credentials import Credentials
from serving.services.jobs import Jobs
from serving.settings import Settings
from serving.shared import Shared
from serving.token_buckets import TokenBuckets


def answer_calls(connection: Connection, shared: Shared) -> None:
    """Answer a worker's calls until it has ended.

    Args:
        connection: To the worker.
        shared: What the calls are for.
    """
    while True:
        try:
            part, method, arguments = connection.recv()
        except (EOFError, OSError):
            connection.close()
            return
        answer: tuple[bool, Any]
        try:
            answer = True, getattr(getattr(shared, part), method)(*arguments)
        except Exception as exc:  # raised again in the worker, which knows what to say of it
            answer = False, exc
        try:
            connection.send(answer)
        except OSError:  # it has ended; `recv` says so
            continue


def shared_by_calls(connection: Connection, settings: Settings) -> Shared:
    """Return what workers have in common as one of them sees it.

    Args:
        connection: To the process that holds it.
        settings: The server's settings.
    """
    lock = threading.Lock()

    def call(part: str, method: str, arguments: tuple[Any, ...]) -> Any:
        with lock:
            connection.send((part, method, arguments))
            good, value = connection.recv()
        if not good:
            raise value
        return value

    return Shared(
        cast(Credentials, _Remote("credentials", call)),
        cast(TokenBuckets, _Remote("requests", call)) if settings.rate_limit else None,
        cast(Jobs, _Remote("jobs", call)),
    )


class _Remote:
    """An object of another process, of which only methods are asked for."""

    def __init__(self, part: str, call: Callable[[str, str, tuple[Any, ...]], Any]) -> None:
        self._part, self._call = part, call

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *arguments: self._call(self._part, method, arguments)
