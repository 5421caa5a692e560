"""The server's connections: how many there may be, from whom, and how long they may take.

uvicorn takes every connection and waits for its headers for ever: a thousand clients that send
nothing leave no open file for anybody else. So connections are accepted here: of each address and
in all only so many as fit the process's limit of open files. Those that have been idle longest make
room for new ones, and while there is no room none is taken.
"""

import asyncio
import ipaddress
import logging
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import h11
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger("clipdex.connections")

# Within which the headers of a request have to arrive.
HEADER_SECONDS = 10.0
# Within which a client has to take what is written, 48 KiB at a time.
STALL_SECONDS = 60.0
# One address may hold this part of all connections.
SHARE = 4
MAX_CONNECTIONS = 2048
# Open files for all else: the collection, images, uploads, child processes.
RESERVED_FILES = 256
NOTE_SECONDS = 60.0
# What a worker says to the process that hands it connections, once it can answer.
READY = b"r"


def connection_limit() -> int:
    """Return how many connections there may be, after allowing this process as many as it may."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(SHARE, min(MAX_CONNECTIONS, soft - RESERVED_FILES))


class Connections:
    """The open connections of one server.

    Args:
        limit: How many there may be.
        trusted: Addresses and networks of proxies, which speak for many clients.
    """

    def __init__(self, limit: int, trusted: Iterable[str]) -> None:
        self.limit = limit
        self.share = max(1, limit // SHARE)
        self._trusted = [ipaddress.ip_network(one) for one in trusted]
        self._of: defaultdict[str, dict[_Protocol, None]] = defaultdict(dict)  # oldest first
        self._count = 0
        self._lost = asyncio.Event()
        self._events: Counter[str] = Counter()
        self._noted = -NOTE_SECONDS

    def add(self, protocol: "_Protocol") -> None:
        """Count a connection that has been made."""
        self._of[protocol.address][protocol] = None
        self._count += 1

    def discard(self, protocol: "_Protocol") -> None:
        """Count a connection that has ended."""
        there = self._of[protocol.address]
        if protocol in there:
            del there[protocol]
            self._count -= 1
            self._lost.set()
        if not there:
            del self._of[protocol.address]

    async def room(self) -> None:
        """Wait until there may be another connection."""
        while self._count >= self.limit:
            if any(map(self._evict, sorted(self._of.values(), key=len, reverse=True))):
                self._note("closed to make room")
            else:
                self._note("waits for room")
            self._lost.clear()
            await self._lost.wait()

    def admits(self, address: str) -> bool:
        """Return whether an address may make another connection; its oldest idle one makes room."""
        there = self._of.get(address, {})
        if len(there) < self.share or self._trusts(address):
            return True
        self._note("above the share of its address")
        return self._evict(there)

    def sweep(self) -> None:
        """Close the connections whose time is over."""
        now = time.monotonic()
        for protocol in [one for there in self._of.values() for one in there]:
            reason = protocol.overdue(now)
            if reason is not None:
                protocol.transport.abort()
                self._note(reason)
        self._write()

    def failed(self, error: OSError) -> None:
        """Note that a connection could not be accepted."""
        self._note(error.strerror or str(error))

    def _evict(self, there: "dict[_Protocol, None]") -> bool:
        idle = [one for one in there if one.idle_since is not None]
        if idle:
            min(idle, key=lambda one: one.idle_since or 0.0).transport.abort()
        return bool(idle)

    def _trusts(self, address: str) -> bool:
        if not self._trusted:
            return False
        with suppress(ValueError):
            client = ipaddress.ip_address(address)
            return any(client in network for network in self._trusted)
        return False

    def _note(self, event: str) -> None:
        self._events[event] += 1
        self._write()

    def _write(self) -> None:
        """Write one line about what has happened, at most once a minute."""
        now = time.monotonic()
        if self._events and now - self._noted >= NOTE_SECONDS:
            counts = ", ".join(f"{event} ({n})" for event, n in self._events.most_common())
            log.warning(
                "%d of %d connections are open; lately: %s", self._count, self.limit, counts
            )
            self._events.clear()
            self._noted = now


class _Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, which knows since when it waits for its client."""

    all: Connections

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else "?"
        self.idle_since: float | None = time.monotonic()
        self._headers_since: float | None = self.idle_since
        self._paused_since: float | None = None
        self._closing_since: float | None = None
        self.all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another."""
        self.all.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        if self._headers_since is None and self.conn.their_state is h11.IDLE:
            self._headers_since = time.monotonic()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._headers_since = None
            if self.cycle is not None and not self.cycle.response_complete:
                self.idle_since = None

    def on_response_complete(self) -> None:
        """Wait for a further request."""
        self.idle_since = time.monotonic()
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self.idle_since = None  # it had been sent already

    def pause_writing(self) -> None:
        """Wait until the client has taken what was written."""
        self._paused_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self._paused_since = None
        super().resume_writing()

    def overdue(self, now: float) -> str | None:
        """Return what the client has taken too long for; None for nothing."""
        if self._closing_since is None and self.transport.is_closing():
            self._closing_since = now
        for since, seconds, reason in (
            (self._headers_since, HEADER_SECONDS, "headers too slow"),
            (self._paused_since, STALL_SECONDS, "answer not taken"),
            (self._closing_since, STALL_SECONDS, "answer not taken"),
        ):
            if since is not None and now - since > seconds:
                return reason
        return None


class LimitedServer(Server):
    """uvicorn's server, which accepts connections within limits.

    Args:
        app: The application.
        trusted_proxies: Addresses and networks of proxies, which speak for many clients.
        on_second_signal: What ends the process when it was asked to end and asked again.
        handed: Where another process hands over connections, each with one byte; None to accept
            them here. A byte the other way says that they can be answered.
    """

    def __init__(
        self,
        app: Any,
        *,
        trusted_proxies: Iterable[str] = (),
        on_second_signal: Callable[[int], None] | None = None,
        handed: socket.socket | None = None,
    ) -> None:
        config = Config(
            app,
            http=_Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            # The application believes the proxies that it is told of.
            proxy_headers=False,
            # Requests in progress, and jobs, have this long to end.
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=32 * 1024,
        )
        super().__init__(config)
        self._trusted = tuple(trusted_proxies)
        self._on_second_signal = on_second_signal
        self._handed = handed
        self._working: list[asyncio.Task[None]] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, once the requests in progress have ended."""
        if self.should_exit and self._on_second_signal is not None:
            self._on_second_signal(sig)
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the application, and begin to accept."""
        await super().startup(sockets=[])
        connections = Connections(connection_limit(), self._trusted)
        loop = asyncio.get_running_loop()
        for listening in sockets or ():
            listening.setblocking(False)
            accept = partial(loop.sock_accept, listening)
            self._working.append(asyncio.create_task(self._accept(accept, connections)))
        if self._handed is not None and not self.should_exit:
            self._handed.setblocking(False)
            accept = partial(_receive, self._handed)
            self._working.append(asyncio.create_task(self._accept(accept, connections)))
            await loop.sock_sendall(self._handed, READY)
        self._working.append(asyncio.create_task(_sweep(connections)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and let the requests in progress end."""
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        await super().shutdown(sockets=sockets)

    async def _accept(
        self,
        accept: Callable[[], Awaitable[tuple[socket.socket, Any]]],
        connections: Connections,
    ) -> None:
        loop = asyncio.get_running_loop()

        def make() -> _Protocol:
            protocol = _Protocol(self.config, self.server_state, self.lifespan.state, loop)
            protocol.all = connections
            return protocol

        while True:
            await connections.room()
            try:
                accepted, address = await accept()
            except OSError as exc:  # such as too many open files: those that wait are not lost
                connections.failed(exc)
                await asyncio.sleep(1)
                continue
            if not connections.admits(address[0]):
                accepted.close()
                continue
            with suppress(OSError):
                await loop.connect_accepted_socket(make, accepted)


async def _receive(handed: socket.socket) -> tuple[socket.socket, Any]:
    """Return the next connection that another process hands over, and its address.

    Raises:
        OSError: The connection, or the other process, has gone.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            message, numbers, _, _ = socket.recv_fds(handed, 1, 1)
            break
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(handed, readable.set_result, None)
            try:
                await readable
            finally:
                loop.remove_reader(handed)
    if not message:
        raise ConnectionError("no connections are handed over any more")
    accepted = socket.socket(fileno=numbers[0])
    try:
        accepted.setblocking(False)
        return accepted, accepted.getpeername()
    except OSError:
        accepted.close()
        raise


async def _sweep(connections: Connections) -> None:
    while True:
        await asyncio.sleep(1)
        connections.sweep()
