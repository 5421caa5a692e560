"""How many requests a second one client may make: a token bucket each."""

import time
from collections import OrderedDict

# A client may save up this many seconds' worth of requests: a page of thumbnails comes at once.
BURST_SECONDS = 10.0
MAX_CLIENTS = 10_000


class RateLimit:
    """rate: requests a second; 0 for any number."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Seconds that the client has to wait; 0 for a request that may go on, and is counted."""
        if self._rate <= 0:
            return 0.0
        now = time.monotonic()
        tokens, then = self._buckets.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._rate
