"""Prints hits in the form that the user asked for."""

import io
import os
import re
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from indexer.store.paths import display, is_url
from search.hits import CONFIDENT, UNLIKELY, Hit, Results
from terminal.console import (
    hint,
    is_terminal,
    note,
    out,
    out_bytes,
    out_json,
    out_raw,
    visible,
    writing_output,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .preview import Protocol

FORMULA = ("=", "+", "-", "@", "\t", "\r")
# The columns from which on the table has a date, and the size of the image.
DATED_AND_SIZED = (48, 62)
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


class Form(Enum):
    """A form in which hits are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PATHS = "paths"
    PRINT0 = "print0"


def write_copies(paths: Sequence[bytes]) -> None:
    """Say where the collection holds the image that was asked about."""
    if paths:
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        note(f"already in your library: {display(paths[0])}{more}")


def write_results(
    results: Results,
    form: Form,
    *,
    scored: bool = True,
    besides: bool = False,
    protocol: "Protocol | None" = None,
) -> None:
    """Print hits; in a pipe, the table of a terminal becomes lines of score, tab and path.

    Args:
        results: What to print.
        form: How to print it.
        scored: Whether something was looked for; otherwise the places of scores stay empty.
        besides: Whether the collection holds the very image that was looked for.
        protocol: How the terminal is given an image below each row of the table; None for none.
    """
    hits = results.hits
    match form:
        case Form.JSON:
            for hit in hits:
                out_json({**hit.to_json(), **({} if scored else {"score": None})})
        case Form.CSV:
            out_csv("rank", "id", "path", "score", "relevance")
            for hit in hits:
                relevance = "" if hit.relevance is None else hit.relevance
                out_csv(hit.rank, hit.id, hit.path, f"{hit.score:.6f}" if scored else "", relevance)
        case Form.PATHS | Form.PRINT0:
            end = b"\n" if form is Form.PATHS else b"\0"
            for hit in hits:
                out_bytes(hit.raw_paths[0] + end)
        case Form.TABLE:
            if is_terminal():
                _write_table(hits, scored, protocol)
            else:
                for hit in hits:
                    out(f"{hit.score:.3f}" if scored else "", hit.path)
            _say_what_matches(results, besides)
            if results.foreign_language is not None:
                from search.hints import ask_in_english

                hint(ask_in_english(results.foreign_language))


def out_csv(*values: object) -> None:
    """Print a row of CSV.

    A spreadsheet runs what begins like a formula; such a text gets an apostrophe before it.
    """
    import csv

    buffer = io.StringIO()
    cells = [f"'{one}" if isinstance(one, str) and _is_formula(one) else one for one in values]
    # With this end, cells with either of its characters are quoted, too.
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    out_raw(buffer.getvalue().removesuffix("\r\n") + "\n")


def _is_formula(text: str) -> bool:
    return text.startswith(FORMULA) and not NUMBER.fullmatch(text)


def _say_what_matches(results: Results, besides: bool) -> None:
    here = "nothing else here" if besides else "nothing here"
    if not results.hits:
        note(f"{here} matches")
        return
    best, matches = results.hits[0].relevance, results.total_matches
    if best is None or matches is None:
        return
    first = results.hits[0].rank == 1
    if first and best < UNLIKELY:
        note(f"{here} matches; these come closest ({best:.0%} at best)")
    elif first and best < CONFIDENT:
        note(f"no confident match: {best:.0%} at best")
    elif is_terminal():
        note(f"{matches:,} of {results.total:,} images match")


def _write_table(hits: Sequence[Hit], scored: bool, protocol: "Protocol | None") -> None:
    if not hits:
        return
    from rich.console import Console

    console = Console()
    if protocol is None:
        table = _table(hits, scored, console)
        with writing_output():
            console.print(table)
        return
    from .preview import preview

    for hit in hits:
        row = _table([hit], scored, console)
        row.show_header = False
        with writing_output():
            console.print(row)
        image = preview(hit, protocol, console.width)
        if image is None:
            out("(no preview)")
        else:
            out_bytes(image + b"\n")


def _table(hits: Sequence[Hit], scored: bool, console: "Console") -> "Table":
    from rich.table import Table
    from rich.text import Text

    here = _current_folder()
    # A narrow terminal keeps its room for the names.
    dated, sized = (console.width >= width for width in DATED_AND_SIZED)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right", style="dim", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("match", justify="right", no_wrap=True)
    table.add_column("image", overflow="fold")
    if dated:
        table.add_column("date", style="dim", no_wrap=True)
    if sized:
        table.add_column("size", justify="right", style="dim", no_wrap=True)
    for hit in hits:
        name = Text(visible(shortest(hit.raw_paths[0], here)))
        if link := hit.link:
            name.stylize(f"link {link}")
        if len(hit.paths) > 1:
            name.append(f"  and {len(hit.paths) - 1} more", style="dim")
        if hit.collapsed:
            name.append(f"  and {len(hit.collapsed)} more like it", style="dim")
        match = "" if hit.relevance is None else f"{hit.relevance:.0%}"
        score = f"{hit.score:.3f}" if scored else ""
        day = [(hit.taken_at or "")[:10]] if dated else []
        size = [f"{hit.width} x {hit.height}"] if sized else []
        table.add_row(str(hit.rank), score, match, name, *day, *size)
    return table


def shortest(path: bytes, folder: bytes | None) -> str:
    """Return a path for people: relative to a folder where that is shorter.

    Args:
        path: An absolute path, or a URL, which stays as it is.
        folder: The absolute path of a folder; None for none.
    """
    if folder is None or is_url(path):
        return display(path)
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        return display(path)
    if relative.startswith(b"-"):  # which commands would take for an option
        relative = os.path.join(b".", relative)
    return display(min(path, relative, key=len))


def _current_folder() -> bytes | None:
    try:
        return os.getcwdb()
    except FileNotFoundError:  # deleted meanwhile
        return None
