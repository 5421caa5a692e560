"""Writes results to stdout, messages to stderr, and errors as one line and an exit code."""

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
    """Print a line of the result."""
    sys.stdout.write(text + "\n")


def out_bytes(data: bytes) -> None:
    """Print raw bytes of the result, such as a path that is not text."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def note(text: str) -> None:
    """Print a message."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")


def is_terminal() -> bool:
    """Return whether results go to a terminal."""
    return sys.stdout.isatty()


def handle_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that errors end it with one line and an exit code.

    With `--debug`, they end it with a traceback.
    """

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
            # The reader, such as `head`, has enough; Python must not complain as it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt as exc:
            note("interrupted")
            raise typer.Exit(INTERRUPTED) from exc

    return run


def debugging() -> bool:
    """Return whether `--debug` or $CLIPDEX_DEBUG asks for tracebacks."""
    return os.environ.get("CLIPDEX_DEBUG", "") not in ("", "0")
