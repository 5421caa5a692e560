"""One line for everything that is printed, and for everything that goes wrong."""

import json

import pytest
import typer

from indexer.errors import QueryError
from terminal.console import handle_errors, note, out, out_json, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é \U0001f408\u200d\u2b1b", "plain é \U0001f408\u200d\u2b1b"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x00\x1b[2J\x7f\x9b", "\\x00\\x1b[2J\\x7f\\x9b"),
        ("\u2028\u2029\u202e\u2066\u200f\ufeff", "\\u2028\\u2029\\u202e\\u2066\\u200f\\ufeff"),
        ("caf\udcc3\udca9", "café"),  # bytes of a locale that is not UTF-8
        ("caf\udce9 \ud800", "caf\ufffd\ufffd\ufffd \ufffd\ufffd\ufffd"),
    ],
)
def test_control_characters_are_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_call_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    out("a\nb", "c\td")
    note("e\nf\x1b")
    out_json({"name": "g\n\u009b\u202e"})
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "a\\nb\tc\\td"
    assert said.err == "e\\nf\\x1b\n"
    assert json.loads(said.out.splitlines()[1]) == {"name": "g\n\u009b\u202e"}
    assert "\u202e" not in said.out


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (QueryError("nothing\nhere"), "error: nothing\\nhere\n"),
        (FileNotFoundError(2, "No such file", "a\x1bb"), "error: a\\x1bb: No such file\n"),
        (ValueError("x\ny"), "error: a fault of clipdex (ValueError: x\\ny); "),
    ],
)
def test_every_error_is_a_line(
    error: Exception,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CLIPDEX_DEBUG", raising=False)

    @handle_errors
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 1
    printed = capsys.readouterr().err
    assert printed.startswith(said)
    assert printed.count("\n") == 1
    monkeypatch.setenv("CLIPDEX_DEBUG", "1")
    with pytest.raises(type(error)):
        command()


def test_usage_is_not_an_error_of_clipdex() -> None:
    @handle_errors
    def command(share: float) -> None:
        raise typer.BadParameter("wrong\x1b")

    with pytest.raises(typer.BadParameter, match=r"wrong\\x1b"):
        command(share=0.5)
    with pytest.raises(typer.BadParameter, match="not a number"):
        command(share=float("nan"))
