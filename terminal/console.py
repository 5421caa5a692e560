"""Results to stdout, messages to stderr, errors to one line and an exit code."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from indexer.errors import ClipdexError

FAILED = 1
SOME_FILES_FAILED = 3
INTERRUPTED = 130

P = ParamSpec("P")


def out(text: str) -> None:
    """One line of result."""
    sys.stdout.write(text + "\n")


def out_bytes(data: bytes) -> None:
    """Raw bytes of result, such as a path that is not a text."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def note(text: str) -> None:
    """One line of message."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")


def is_terminal() -> bool:
    """Whether results are read by a person."""
    return sys.stdout.isatty()


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors end as section 5 of the design says; tracebacks with `--debug`."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except ClipdexError as exc:
            if debugging():
                raise
            note(f"error: {exc}")
            raise typer.Exit(FAILED) from exc
        except BrokenPipeError:
            # The reader (`head`) has enough; keep Python from complaining while it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt as exc:
            note("interrupted")
            raise typer.Exit(INTERRUPTED) from exc

    return run


def debugging() -> bool:
    """Whether `--debug` (or $CLIPDEX_DEBUG) asks for tracebacks."""
    return os.environ.get("CLIPDEX_DEBUG", "") not in ("", "0")
