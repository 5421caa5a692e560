"""Keys, sessions, and the rate of one client."""

import pytest

from serving.middleware import credentials as access_module
from serving.middleware.credentials import Access
from serving.middleware.rate_limit import RateLimit


def test_any_of_several_keys_lets_in_and_nothing_else() -> None:
    access = Access(["one", "two", ""])
    assert access.required
    assert [access.knows_key(key) for key in ("one", "two", "", "on", "\ud800")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not Access([]).required


def test_sessions_end_by_themselves_and_by_signing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(["key"])
    first, second = access.sign_in(), access.sign_in()
    assert access.knows_session(first)
    access.sign_out(first)
    assert not access.knows_session(first)
    assert access.knows_session(second)
    now = access_module.time.monotonic() + access_module.SESSION_SECONDS + 1
    monkeypatch.setattr(access_module.time, "monotonic", lambda: now)
    assert not access.knows_session(second)


def test_a_client_may_save_up_and_then_has_to_wait() -> None:
    limit = RateLimit(0.5)
    waits = [limit.wait("a") for _ in range(7)]
    assert waits[:5] == [0.0] * 5
    assert all(1.9 < wait <= 2.0 for wait in waits[5:])
    assert limit.wait("b") == 0.0
    assert not any(RateLimit(0).wait("a") for _ in range(1000))
