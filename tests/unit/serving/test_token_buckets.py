"""The rate of one client."""

import pytest

from serving import token_buckets
from serving.token_buckets import TokenBuckets


def test_a_client_saves_up_and_then_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(token_buckets.time, "monotonic", lambda: now)
    limit = TokenBuckets(0.5, burst=5)

    def ask(client: str) -> float:
        wait = limit.seconds_until(client)
        if not wait:
            limit.take(client)
        return wait

    assert [ask("a") for _ in range(7)] == [0.0] * 5 + [2.0] * 2
    assert ask("b") == 0.0
    now += 2.0
    assert [ask("a") for _ in range(2)] == [0.0, 2.0]


def test_a_network_of_ipv6_is_one_client() -> None:
    limit = TokenBuckets(0.5, burst=1)
    limit.take("2001:db8::1")
    assert limit.seconds_until("2001:db8::ffff:2") > 0
    assert limit.seconds_until("2001:db8:0:1::1") == 0
    limit.take("::ffff:192.0.2.1")
    assert limit.seconds_until("192.0.2.1") > 0
    assert limit.seconds_until("192.0.2.2") == 0
