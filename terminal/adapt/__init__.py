"""The commands `clipdex adapt ...`."""

import typer

from . import compare, domain, heads, text, tune

app = typer.Typer(help="Learn your own classes and words from examples.", no_args_is_help=True)
app.command()(heads.train)
app.command()(heads.concept)
app.command("list")(heads.list_learned)
app.command()(heads.show)
app.command()(heads.remove)
app.command()(text.text)
app.command("text-predict")(text.text_predict)
app.command()(domain.domain)
app.command()(domain.distance)
app.command()(tune.tune)
app.command()(tune.merge)
app.command()(compare.compare)
