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
        facts = engine.status()
        if as_json:
            out(json.dumps(asdict(facts), ensure_ascii=False))
            return
        out(f"collection  {facts.collection}")
        out(f"pictures    {facts.images:,} files, {facts.contents:,} different")
        out(f"model       {facts.model} ({facts.fingerprint[:12]}, {facts.dim} dimensions)")
        for other in facts.models[1:]:
            name = f"{other['name']} ({other['fingerprint'][:12]}, {other['dim']} dimensions)"
            if other["state"] == "pending":
                out(f"changing to {name}: {other['vectors']:,} of {facts.contents:,} pictures")
            else:
                out(f"former      {name}: {other['vectors']:,} vectors, dropped by index --prune")
        out(f"index       {facts.index['kind']}, exact")
        for number, root in enumerate(facts.roots):
            out(f"{'' if number else 'folders':<11} {root}")
        out(f"failed      {facts.failed:,}")
        for path, reason in islice(engine.catalogue.failures(), FAILURES_SHOWN):
            out(f"            {display(path)}: {reason}")
        if facts.failed > FAILURES_SHOWN:
            out(f"            and {facts.failed - FAILURES_SHOWN:,} more")
