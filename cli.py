"""The `clipdex` command; `python cli.py index ./photos` works too."""

from typing import TYPE_CHECKING, Annotated, Any

import indexer  # noqa: F401  # tells dependencies to send nothing, before one is imported
from terminal import process

if TYPE_CHECKING:
    import typer


def _create_app(settings: Any, shared: Any = None) -> Any:
    from api import create_app  # only this command loads FastAPI

    return create_app(settings, shared)


def assemble() -> "typer.Typer":
    """Return the Typer application with all commands, which takes a moment to load."""
    import os

    import typer

    from terminal import (
        adapt,
        demo,
        duplicates,
        evaluate,
        forget,
        index,
        label,
        merge,
        migrate,
        models,
        search,
        status,
        tags,
    )
    from terminal.servers import mcp, serve, watch

    app = typer.Typer(
        name="clipdex",
        help="Find photos by what they show: offline, from the terminal and the browser.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def version(wanted: bool) -> None:
        if wanted:
            from importlib.metadata import version

            typer.echo(f"clipdex {version('clipdex')}")
            raise typer.Exit

    def main(
        debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
        _: Annotated[
            bool,
            typer.Option("--version", callback=version, is_eager=True, help="Show the version."),
        ] = False,
    ) -> None:
        """Find photos by what they show: offline, from the terminal and the browser."""
        if debug:
            os.environ["CLIPDEX_DEBUG"] = "1"

    app.callback()(main)
    app.command()(index.index)
    app.command()(search.search)
    app.command()(search.similar)
    app.command()(label.label)
    app.command()(duplicates.duplicates)
    app.command("eval")(evaluate.evaluate)
    app.command()(status.status)
    app.command()(forget.forget)
    app.command()(migrate.migrate)
    app.command()(merge.merge)
    app.command()(serve.command(_create_app))
    app.command()(mcp.mcp)
    app.command()(watch.watch)
    app.command()(demo.demo)
    app.add_typer(models.app, name="models")
    app.add_typer(adapt.app, name="adapt")
    app.add_typer(tags.app, name="tags")
    return app


def run() -> None:
    """Run the command; the entry point of the console script."""
    process.prepare()
    import typer

    from terminal import console

    console.prepare_streams()
    try:
        # Help and version are printed by Typer, outside any command.
        with console.reported_errors():
            assemble()()
    except typer.Exit as failed:
        process.finish(failed.exit_code)
        raise SystemExit(failed.exit_code) from None
    except SystemExit as status:
        process.finish(status.code)
        raise


if __name__ == "__main__":
    run()
