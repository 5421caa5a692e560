"""The rate of one client."""

import pytest

from serving.middleware import rate_limit
from serving.middleware.rate_limit import TokenBuckets


def test_a_client_saves_up_and_then_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: now)
    limit = TokenBuckets(0.5)
    assert [limit.wait("a") for _ in range(7)] == [0.0] * 5 + [2.0] * 2
    assert limit.wait("b") == 0.0
    assert not any(TokenBuckets(0).wait("a") for _ in range(1000))
    now += 2.0
    assert [limit.wait("a") for _ in range(2)] == [0.0, 2.0]
