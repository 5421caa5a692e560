"""Keys and sessions."""

import pytest

from serving import credentials as module
from serving.credentials import Credentials, Right, TooManyGuesses


def test_any_of_several_keys_is_accepted() -> None:
    credentials = Credentials(["one", "two"])
    keys = ("one", "two", "", "on", "\ud800")
    rights = [credentials.right_of_key(key, "192.0.2.1") for key in keys]
    assert rights == [Right.WRITE, Right.WRITE, Right.NONE, Right.NONE, Right.NONE]


def test_a_key_has_the_right_of_its_list() -> None:
    credentials = Credentials(["writes"], ["reads", "looks"])
    assert credentials.right_of_key("writes", "192.0.2.1") is Right.WRITE
    assert credentials.right_of_key("reads", "192.0.2.1") is Right.READ
    assert credentials.right_of_key("looks", "192.0.2.1") is Right.READ
    assert credentials.right_of_key("", "192.0.2.1") is Right.NONE
    assert Credentials([], ["reads"]).right_of_key("reads", "192.0.2.1") is Right.READ


def test_wrong_keys_of_a_client_are_not_looked_at_any_more() -> None:
    credentials = Credentials(["one"])
    for _ in range(module.MAX_GUESSES):
        assert not credentials.right_of_key("two", "192.0.2.1")
    with pytest.raises(TooManyGuesses):
        credentials.right_of_key("one", "192.0.2.1")
    assert credentials.right_of_key("one", "192.0.2.2")


def test_sessions_expire_and_sign_out(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = Credentials(["key"])
    first, second = (credentials.sign_in(right) for right in (Right.READ, Right.WRITE))
    assert credentials.right_of_session(first) is Right.READ
    credentials.sign_out(first)
    assert not credentials.right_of_session(first)
    assert credentials.right_of_session(second) is Right.WRITE
    now = module.time.monotonic() + module.SESSION_SECONDS + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    assert not credentials.right_of_session(second)
