"""One of several processes that answer for a server."""

import os
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from indexer.devices.processes import end_with_parent
from serving.connections import LimitedServer
from serving.settings import Settings

from .calls import shared_by_calls


def run_worker(
    create_app: Callable[..., Any],
    settings: Settings,
    handed: socket.socket,
    calls: Connection,
    prepare: Callable[[], None],
) -> None:
    """Answer the connections that the parent process hands over, until it says SIGTERM.

    Args:
        create_app: Makes the application.
        settings: The server's settings.
        handed: Where connections come from.
        calls: To what all workers have in common.
        prepare: Called first, such as to set up the log.
    """
    end_with_parent()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    prepare()
    app = create_app(settings, shared_by_calls(calls, settings))
    server = LimitedServer(app, trusted_proxies=settings.trusted_proxies, handed=handed)
    server.run()
