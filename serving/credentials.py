"""API keys and the page's sessions.

Keys are compared in constant time. The page exchanges a key for a session cookie, since `<img>` and
EventSource send no headers.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterable

from .token_buckets import TokenBuckets

COOKIE = "clipdex_session"
SESSION_SECONDS = 7 * 24 * 3600
MAX_SESSIONS = 10_000
# Wrong keys of one client: so many at once, and then ten a minute.
MAX_GUESSES = 10
GUESSES_PER_SECOND = 1 / 6


class TooManyGuesses(Exception):
    """A client has sent too many wrong keys.

    Args:
        seconds: How long it has to wait.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong keys: wait {seconds:.0f} s")
        self.seconds = seconds

    def __reduce__(self) -> tuple[type["TooManyGuesses"], tuple[float]]:
        """Return what makes it again, in another process."""
        return type(self), (self.seconds,)


class Credentials:
    """The keys and sessions of one server, for any number of threads.

    Args:
        keys: Any of them lets a client in; without any, all clients are let in.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [_digest(key) for key in keys]
        self._sessions: dict[bytes, float] = {}
        self._guesses = TokenBuckets(GUESSES_PER_SECOND, burst=MAX_GUESSES)
        self._lock = threading.Lock()

    def knows_key(self, key: str, client: str) -> bool:
        """Return whether it is one of the keys, in a time that does not depend on which.

        Args:
            key: What a client has sent.
            client: The client's address, for which wrong keys are counted.

        Raises:
            TooManyGuesses: The client has sent too many wrong keys: this one is not looked at.
        """
        wait = self._guesses.seconds_until(client)
        if wait:
            raise TooManyGuesses(wait)
        digest = _digest(key)
        known = bool(sum([hmac.compare_digest(digest, known) for known in self._keys]))
        if not known:
            self._guesses.take(client)
        return known

    def sign_in(self) -> str:
        """Begin a session, and return its token."""
        now = time.monotonic()
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions = {key: end for key, end in self._sessions.items() if end > now}
            while len(self._sessions) >= MAX_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[_digest(token)] = now + SESSION_SECONDS
        return token

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(token), None)

    def knows_session(self, token: str) -> bool:
        """Return whether it is the token of a session that has not expired."""
        return self._sessions.get(_digest(token), 0.0) > time.monotonic()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
