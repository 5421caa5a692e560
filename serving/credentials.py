"""API keys, the page's sessions, and the secret that this machine's user has.

Keys are compared in constant time. The page exchanges a key for a session cookie, since `<img>` and
EventSource send no headers.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable

COOKIE = "clipdex_session"
SESSION_SECONDS = 7 * 24 * 3600
MAX_SESSIONS = 10_000


class Credentials:
    """The keys and sessions of one server.

    Args:
        keys: Any of them lets a client in; without any, all clients are let in.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [_digest(key) for key in keys if key]
        self._sessions: dict[bytes, float] = {}
        self.local_secret = secrets.token_urlsafe(32)

    @property
    def required(self) -> bool:
        """Whether clients need a key."""
        return bool(self._keys)

    def knows_key(self, key: str) -> bool:
        """Return whether it is one of the keys, in a time that does not depend on which."""
        digest = _digest(key)
        return bool(sum([hmac.compare_digest(digest, known) for known in self._keys]))

    def is_local(self, secret: str) -> bool:
        """Return whether it is the secret that the server has written for this machine's user."""
        return hmac.compare_digest(_digest(secret), _digest(self.local_secret))

    def sign_in(self) -> str:
        """Begin a session, and return its token."""
        now = time.monotonic()
        self._sessions = {key: end for key, end in self._sessions.items() if end > now}
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = now + SESSION_SECONDS
        return token

    def sign_out(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(token), None)

    def knows_session(self, token: str) -> bool:
        """Return whether it is the token of a session that has not expired."""
        return self._sessions.get(_digest(token), 0.0) > time.monotonic()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
