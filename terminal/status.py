"""The command `clipdex status`."""

from dataclasses import asdict
from itertools import islice
from typing import Any

from . import options
from .console import handle_errors, hint, is_terminal, out, out_json

FAILURES_SHOWN = 20


def _index(index: dict[str, Any]) -> str:
    if index["kind"] == "flat":
        return "flat, exact"
    text, image = index["text_recall"], index["image_recall"]
    kind = "HNSW in PostgreSQL" if index["kind"] == "hnsw" else index["kind"]
    return (
        f"{kind}: finds {text:.1%} of the ten best images of text queries, {image:.1%} of "
        "image queries"
    )


@handle_errors
def status(collection: options.Collection = None, as_json: options.Json = False) -> None:
    """Show what the collection holds.

    Example: clipdex status
    """
    from indexer.store.paths import display
    from search import Engine
    from search.hints import better_model

    with Engine.open(collection) as engine:
        engine.check_vectors()
        holds = engine.status()
        if as_json:
            out_json(asdict(holds))
            return
        out(f"collection  {holds.collection}")
        out(f"images      {holds.images:,} files, {holds.contents:,} different")
        out(f"model       {holds.model} ({holds.fingerprint[:12]}, {holds.dim} dimensions)")
        for other in holds.models[1:]:
            name = f"{other['name']} ({other['fingerprint'][:12]}, {other['dim']} dimensions)"
            if other["state"] == "pending":
                out(f"changing to {name}: {other['vectors']:,} of {holds.contents:,} images")
            else:
                out(
                    f"former      {name}: {other['vectors']:,} vectors; `clipdex index --prune` "
                    "deletes them"
                )
        out(f"index       {_index(holds.index)}")
        for number, root in enumerate(holds.roots):
            out(f"{'' if number else 'folders':<11} {root}")
        for number, rule in enumerate(holds.excluded):
            of = f" in {rule['base']}" if rule["base"] else ""
            how = " (forgotten)" if rule["origin"] == "forget" else of
            out(f"{'' if number else 'left out':<11} {rule['pattern']}{how}")
        if holds.kept_labels:
            out(f"labels      {holds.kept_labels:,} kept for images that were removed")
        for number, (kind, count) in enumerate(holds.notes.items()):
            out(f"{'' if number else 'notes':<11} {count:,} {kind}")
        out(f"failed      {holds.failed:,}")
        for path, reason in islice(engine.catalog.failures(), FAILURES_SHOWN):
            out(f"            {display(path)}: {reason}")
        if holds.failed > FAILURES_SHOWN:
            out(f"            and {holds.failed - FAILURES_SHOWN:,} more")
        better = better_model(holds.model, holds.models)
        if better and is_terminal():
            hint(better)
