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
from enum import IntEnum

from .token_buckets import TokenBuckets

COOKIE = "clipdex_session"
SESSION_SECONDS = 7 * 24 * 3600
MAX_SESSIONS = 10_000
# Wrong keys of one client: so many at once, and then ten a minute.
MAX_GUESSES = 10
GUESSES_PER_SECOND = 1 / 6


class Right(IntEnum):
    """What a key or a session lets a client do; each right includes those below it."""

    NONE = 0
    READ = 1
    WRITE = 2


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
        keys: Any of them lets a client search, and change what can be changed.
        read_keys: Any of them lets a client search and look.
    """

    def __init__(self, keys: Iterable[str], read_keys: Iterable[str] = ()) -> None:
        self._keys = [(_digest(key), Right.READ) for key in read_keys]
        self._keys += [(_digest(key), Right.WRITE) for key in keys]
        self._sessions: dict[bytes, tuple[float, Right]] = {}
        self._guesses = TokenBuckets(GUESSES_PER_SECOND, burst=MAX_GUESSES)
        self._lock = threading.Lock()

    def right_of_key(self, key: str, client: str) -> Right:
        """Return what a key lets a client do, in a time that does not depend on which key it is.

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
        found = [right * hmac.compare_digest(digest, known) for known, right in self._keys]
        right = Right(max(found, default=Right.NONE))
        if not right:
            self._guesses.take(client)
        return right

    def sign_in(self, right: Right) -> str:
        """Begin a session, and return its token.

        Args:
            right: What the session's client may do: as much as the key that opened it.
        """
        now = time.monotonic()
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions = {key: one for key, one in self._sessions.items() if one[0] > now}
            while len(self._sessions) >= MAX_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[_digest(token)] = now + SESSION_SECONDS, right
        return token

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(token), None)

    def right_of_session(self, token: str) -> Right:
        """Return what a session's token lets a client do; nothing once it has expired."""
        end, right = self._sessions.get(_digest(token), (0.0, Right.NONE))
        return right if end > time.monotonic() else Right.NONE


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
