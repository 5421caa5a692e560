"""Writes results to stdout, messages to stderr, and errors as one line and an exit code.

Names of files, labels and models come from elsewhere, and a terminal obeys the control characters
in them. So what is printed for people passes `visible` here, and only here: one call of `out` or
`note` is one line, whatever stands in it.
"""

import codecs
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from io import TextIOWrapper
from typing import Any, NoReturn, ParamSpec

import typer

from indexer.arguments import valid_text
from indexer.errors import ClipdexError
from indexer.notices import listen

from . import process

FAILED = 1
SOME_FILES_FAILED = 3
# C0 and C1 controls, separators of lines and paragraphs, and what reorders text around it.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

P = ParamSpec("P")


class OutputFailed(ClipdexError):
    """Stdout does not take what is written to it."""


def visible(text: str) -> str:
    r"""Return a text with its control characters as escapes, such as \x1b and \n."""
    return CONTROLS.sub(_escape, valid_text(text))


def out(*columns: str) -> None:
    """Print a line of the result; several columns are separated by tabs."""
    _write("\t".join(map(visible, columns)) + "\n")


def out_json(value: Any, *, indent: int | None = None) -> None:
    """Print an object as JSON, in one line unless `indent` says otherwise."""
    utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    text = json.dumps(value, ensure_ascii=not utf8, indent=indent)
    # json leaves some of them as they are; line breaks in it are those of `indent`.
    lines = (CONTROLS.sub(_json_escape, line) for line in text.split("\n"))
    _write("\n".join(lines) + "\n")


def out_raw(text: str) -> None:
    """Print lines that another program reads, such as CSV; on a terminal they are made visible."""
    if is_terminal():
        text = "\n".join(map(visible, text.split("\n")))
    _write(text)


def out_bytes(data: bytes) -> None:
    """Print raw bytes of the result, such as a path that is not text."""
    with writing_output():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def note(text: str) -> None:
    """Print a message, if there is somewhere to print it."""
    with writing_output():
        sys.stdout.flush()
    _say(text)


def hint(text: str) -> None:
    """Print what else could be done, unless the user wants no hints."""
    from search.hints import hints_wanted

    if hints_wanted():
        note(text)


def is_terminal() -> bool:
    """Return whether results go to a terminal."""
    return sys.stdout.isatty()


@contextmanager
def writing_output() -> Iterator[None]:
    """Translate errors of stdout.

    Raises:
        OutputFailed: It is closed, or its disk is full.
        BrokenPipeError: Its reader has ended.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        _give_up_stdout()
        raise OutputFailed(f"the output cannot be written: {exc.strerror or exc}") from exc


def prepare_streams() -> None:
    """Make the streams usable, whatever encoding they have and if one of them is closed.

    What the packages have to say is printed as a message from then on.
    """
    if sys.stdout is None:
        # Opened for reading, it refuses what is written to it, as a closed stream does.
        sys.stdout = _stream(os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = _stream(os.O_WRONLY)
    listen(note)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def handle_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that errors end it with one line and an exit code.

    With `--debug`, they end it with a traceback.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _require_numbers(kwargs)
        with reported_errors(), process.unwinding():
            command(*args, **kwargs)
            with writing_output():
                sys.stdout.flush()

    return run


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn errors into one line and an exit code, unless the user wants to see the traceback."""
    try:
        yield
    except ClipdexError as exc:
        _fail(str(exc), exc)
    except BrokenPipeError:
        # The reader, such as `head`, has enough; Python must not complain as it closes stdout.
        _give_up_stdout()
    except KeyboardInterrupt as exc:
        _interrupted(exc, str(exc))
    except typer.BadParameter as exc:
        exc.message = visible(exc.message)
        raise
    except (typer.Exit, typer.Abort):
        raise
    except OSError as exc:
        _fail(_reason(exc), exc)
    except Exception as exc:
        if process.received():  # it came where a library makes another error of it
            _interrupted(exc)
        _fail(
            f"a fault of clipdex ({type(exc).__name__}: {exc}); `clipdex --debug` before the same "
            "command shows where, for a report",
            exc,
        )


def debugging() -> bool:
    """Return whether `--debug` or $CLIPDEX_DEBUG asks for tracebacks."""
    return os.environ.get("CLIPDEX_DEBUG", "") not in ("", "0")


def _interrupted(error: BaseException, what_now: str = "") -> NoReturn:
    with suppress(OutputFailed, BrokenPipeError):
        note(f"{process.word()}: {what_now}" if what_now else process.word())
    raise typer.Exit(process.exit_code()) from error


def _fail(message: str, error: Exception) -> None:
    if debugging():
        raise error
    # An error of stdout may be what is to be reported.
    with suppress(OutputFailed, BrokenPipeError), writing_output():
        sys.stdout.flush()
    _say(f"error: {message}")
    raise typer.Exit(FAILED) from error


def _reason(error: OSError) -> str:
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current folder was deleted: change to another one, or name absolute paths"
    place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _require_numbers(options: dict[str, Any]) -> None:
    """Refuse options that are "nan" or "inf", which every range lets pass.

    Raises:
        typer.BadParameter: One is.
    """
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            hint = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"{value} is not a number here", param_hint=hint)


def _say(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(visible(text) + "\n")
        sys.stderr.flush()


def _write(text: str) -> None:
    with writing_output():
        sys.stdout.write(text)


def _give_up_stdout() -> None:
    """Let Python write what it still holds into nothing as it ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stream(flags: int) -> TextIOWrapper:
    return open(os.open(os.devnull, flags), "w", encoding="utf-8")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
