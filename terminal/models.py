"""`clipdex models`"""

import json

import typer

from . import options
from .console import guarded, out

app = typer.Typer(help="The models that pictures can be indexed with.", no_args_is_help=True)


@app.command("list")
@guarded
def list_models(as_json: options.Json = False) -> None:
    """List the models that are here.

    Example: clipdex models list
    """
    from indexer.models import known_models

    for known in known_models():
        bundle = known.bundle
        if as_json:
            facts = {
                "name": bundle.name,
                "fingerprint": bundle.fingerprint,
                "dim": bundle.dim,
                "image_size": list(bundle.image.size),
                "bytes": known.bytes,
                "licence": bundle.licence,
            }
            out(json.dumps(facts, ensure_ascii=False))
        else:
            height, width = bundle.image.size
            out(
                f"{bundle.name}  {bundle.dim} dimensions, {width} x {height} pixels, "
                f"{known.bytes / 1e6:.0f} MB. {bundle.licence}"
            )
