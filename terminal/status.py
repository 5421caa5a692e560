"""`clipdex status`"""

import json
from dataclasses import asdict
from itertools import islice

from . import options
from .console import guarded, out

FAILURES_SHOWN = 20


@guarded
def status(collection: options.Collection = None, as_json: options.Json = False) -> None:
    """Say what the collection holds.

    Example: clipdex status
    """
    from indexer.store.paths import display
    from search import Engine

    with Engine.open(collection) as engine:
        metadata = engine.status()
        if as_json:
            out(json.dumps(asdict(metadata), ensure_ascii=False))
            return
        out(f"collection  {metadata.collection}")
        out(f"images      {metadata.images:,} files, {metadata.contents:,} different")
        out(
            f"model       {metadata.model} ({metadata.fingerprint[:12]}, {metadata.dim} dimensions)"
        )
        for other in metadata.models[1:]:
            name = f"{other['name']} ({other['fingerprint'][:12]}, {other['dim']} dimensions)"
            if other["state"] == "pending":
                out(f"changing to {name}: {other['vectors']:,} of {metadata.contents:,} images")
            else:
                out(f"former      {name}: {other['vectors']:,} vectors, dropped by index --prune")
        out(f"index       {metadata.index['kind']}, exact")
        for number, root in enumerate(metadata.roots):
            out(f"{'' if number else 'folders':<11} {root}")
        out(f"failed      {metadata.failed:,}")
        for path, reason in islice(engine.catalog.failures(), FAILURES_SHOWN):
            out(f"            {display(path)}: {reason}")
        if metadata.failed > FAILURES_SHOWN:
            out(f"            and {metadata.failed - FAILURES_SHOWN:,} more")
