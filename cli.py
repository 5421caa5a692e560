"""The `clipdex` command; `python cli.py index ./photos` works too."""

import os
from typing import Annotated, Any

import typer

from terminal import (
    adapt,
    console,
    demo,
    duplicates,
    evaluate,
    forget,
    index,
    label,
    migrate,
    models,
    once,
    search,
    serve,
    status,
    tags,
    tune,
)


def _create_app(settings: Any) -> Any:
    from api import create_app  # only this command loads FastAPI

    return create_app(settings)


app = typer.Typer(
    name="clipdex",
    help="Find photos by what they show: offline, from the terminal and the browser.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(index.index)
app.command()(search.search)
app.command()(search.similar)
app.command()(label.label)
app.command()(duplicates.duplicates)
app.command("eval")(evaluate.evaluate)
app.command()(status.status)
app.command()(forget.forget)
app.command()(migrate.migrate)
app.command()(serve.command(_create_app))
app.command()(demo.demo)
app.add_typer(models.app, name="models")
adapt.app.command()(tune.tune)
adapt.app.command()(tune.merge)
app.add_typer(adapt.app, name="adapt")
app.add_typer(tags.app, name="tags")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"clipdex {version('clipdex')}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Find photos by what they show: offline, from the terminal and the browser."""
    if debug:
        os.environ["CLIPDEX_DEBUG"] = "1"


def run() -> None:
    """Run the command; the entry point of the console script."""
    console.prepare_streams()
    try:
        # Help and version are printed by Typer, outside any command.
        with console.reported_errors():
            app()
    except typer.Exit as failed:
        raise SystemExit(failed.exit_code) from None
    except SystemExit as status:
        once.leave(status)
        raise


if __name__ == "__main__":
    run()
