"""The rate of one client."""

from serving.middleware.rate_limit import TokenBuckets


def test_a_client_may_save_up_and_then_has_to_wait() -> None:
    limit = TokenBuckets(0.5)
    waits = [limit.wait("a") for _ in range(7)]
    assert waits[:5] == [0.0] * 5
    assert all(1.9 < wait <= 2.0 for wait in waits[5:])
    assert limit.wait("b") == 0.0
    assert not any(TokenBuckets(0).wait("a") for _ in range(1000))
