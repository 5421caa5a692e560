"""The commands `clipdex adapt ...`."""

import typer

from . import domain, heads, tune

app = typer.Typer(help="Learn your own classes and words from examples.", no_args_is_help=True)
app.command()(heads.train)
app.command()(heads.concept)
app.command("list")(heads.list_learned)
app.command()(heads.show)
app.command()(heads.remove)
app.command()(domain.domain)
app.command()(domain.distance)
app.command()(tune.tune)
app.command()(tune.merge)
