"""How often each client may do something."""

import ipaddress
import threading
import time
from collections import OrderedDict

MAX_CLIENTS = 10_000


class TokenBuckets:
    """A token bucket for each client, for any number of threads.

    Args:
        rate: Tokens a second, above 0.
        burst: Tokens that a client may save up.
    """

    def __init__(self, rate: float, *, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def seconds_until(self, client: str) -> float:
        """Return the seconds until a client has a token; 0 if it has one."""
        return max(0.0, 1 - self._tokens(client, time.monotonic())) / self._rate

    def take(self, client: str) -> None:
        """Take a token from a client, which may have none left."""
        now = time.monotonic()
        with self._lock:
            tokens = max(0.0, self._tokens(client, now) - 1)
            self._buckets.pop(_network(client), None)
            self._buckets[_network(client)] = (tokens, now)
            while len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)

    def wait(self, client: str) -> float:
        """Take a token from a client, or return the seconds until it has one."""
        seconds = self.seconds_until(client)
        if not seconds:
            self.take(client)
        return seconds

    def _tokens(self, client: str, now: float) -> float:
        tokens, then = self._buckets.get(_network(client), (self._burst, now))
        return min(self._burst, tokens + (now - then) * self._rate)


def _network(client: str) -> str:
    """Return what stands for a client: of IPv6 the network, in which it can be any address."""
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.IPv6Network((address, 64), strict=False))
