import pytest

from indexer.sources import trouble
from indexer.sources.trouble import ATTEMPTS, HOPELESS, Trouble, translated


class Answered(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"GET https://me:word@host/a?X-Amz-Signature=word: {status}")
        self.status = status


class NoCredentialsError(Exception):
    pass


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "DELAY", 0.0)


class Failing:
    """A call that fails some times, and then succeeds."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "answer"


def test_passing_trouble_is_tried_again() -> None:
    call = Failing(ATTEMPTS - 1, ConnectionResetError("reset"))
    assert Trouble().through(call) == "answer"
    assert call.calls == ATTEMPTS


def test_lasting_trouble_is_raised() -> None:
    call = Failing(10**6, Answered(503))
    with pytest.raises(OSError, match="503"):
        Trouble().through(call)
    assert call.calls == ATTEMPTS


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("x"), FileNotFoundError),
        (PermissionError("x"), PermissionError),
        (Answered(404), FileNotFoundError),
        (Answered(403), PermissionError),
        (NoCredentialsError("x"), PermissionError),
    ],
)
def test_final_answers_are_not_asked_for_again(error: Exception, kind: type[OSError]) -> None:
    call = Failing(10**6, error)
    with pytest.raises(kind):
        Trouble().through(call)
    assert call.calls == 1


def test_hopeless_connection_is_not_waited_for_again_and_again() -> None:
    one = Trouble()
    call = Failing(10**6, ConnectionResetError("reset"))
    for _ in range(HOPELESS):
        with pytest.raises(OSError, match="reset"):
            one.through(call)
    before = call.calls
    assert before == HOPELESS * ATTEMPTS
    with pytest.raises(OSError, match="reset"):
        one.through(call)
    assert call.calls == before + 1
    assert one.through(lambda: 1) == 1
    assert one.in_a_row == 0


def test_reasons_hold_no_secrets() -> None:
    assert "word" not in str(translated(Answered(500)).strerror)
    assert "https://host/a" in str(translated(Answered(500)).strerror)


def test_cause_of_what_fsspec_calls_missing_counts() -> None:
    def missing(cause: Exception) -> FileNotFoundError:
        error = FileNotFoundError("https://host/a")
        error.__cause__ = cause
        return error

    assert isinstance(translated(missing(Answered(403))), PermissionError)
    assert isinstance(translated(missing(Answered(404))), FileNotFoundError)
    assert not isinstance(translated(missing(ConnectionRefusedError("no"))), FileNotFoundError)
