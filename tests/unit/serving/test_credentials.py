"""Keys and sessions."""

import pytest

from serving import credentials as module
from serving.credentials import Credentials


def test_any_of_several_keys_is_accepted() -> None:
    credentials = Credentials(["one", "two", ""])
    assert credentials.required
    assert [credentials.knows_key(key) for key in ("one", "two", "", "on", "\ud800")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not Credentials([]).required


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
