"""The command `clipdex watch`."""

from typing import TYPE_CHECKING, Annotated

import typer

from terminal import options
from terminal.console import handle_errors, note, out, out_json

if TYPE_CHECKING:
    from indexer import BuildReport, Skipped


@handle_errors
def watch(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER...", help="Folders of images.")],
    collection: options.Collection = None,
    poll: Annotated[
        bool,
        typer.Option(
            "--poll",
            help="Look at the folders again and again, as on network drives, of which the system "
            "does not say what other machines change.",
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Index folders, and what changes in them from then on, until Ctrl-C.

    What changed while nobody watched is found at the start, and whole folders are looked at once an
    hour. --json prints the report of each run that found something to do.

    Example: clipdex watch ~/Pictures
    """
    from indexer.store.paths import display

    try:
        from indexer.watch import watch as follow
    except ImportError as exc:
        from indexer.errors import WatchError

        raise WatchError(
            f"watching needs one more package ({exc.name}): pip install 'clipdex[watch]'"
        ) from exc

    def said(report: "BuildReport") -> None:
        if as_json:
            out_json(report.to_json())
        else:
            out(str(report))

    def skip(skipped: "Skipped") -> None:
        note(f"skipped {display(skipped.path)}: {skipped.reason}")

    follow(folders, collection=collection, poll=poll, on_run=said, on_skip=skip, on_note=note)
