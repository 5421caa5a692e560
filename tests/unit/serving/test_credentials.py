"""Keys and sessions."""

import pytest

from serving import credentials as module
from serving.credentials import Credentials, TooManyGuesses


def test_any_of_several_keys_is_accepted() -> None:
    credentials = Credentials(["one", "two"])
    keys = ("one", "two", "", "on", "\ud800")
    assert [credentials.knows_key(key, "192.0.2.1") for key in keys] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_wrong_keys_of_a_client_are_not_looked_at_any_more() -> None:
    credentials = Credentials(["one"])
    for _ in range(module.MAX_GUESSES):
        assert not credentials.knows_key("two", "192.0.2.1")
    with pytest.raises(TooManyGuesses):
        credentials.knows_key("one", "192.0.2.1")
    assert credentials.knows_key("one", "192.0.2.2")


def test_sessions_expire_and_sign_out(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = Credentials(["key"])
    first, second = credentials.sign_in(), credentials.sign_in()
    assert credentials.knows_session(first)
    credentials.sign_out(first)
    assert not credentials.knows_session(first)
    assert credentials.knows_session(second)
    now = module.time.monotonic() + module.SESSION_SECONDS + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    assert not credentials.knows_session(second)
