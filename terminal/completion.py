"""What a shell offers for the value of an option: names of models, heads and labels.

`clipdex --install-completion` sets it up. Whatever goes wrong here is no reason to write into the
line that somebody is typing: then nothing is offered.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

Complete = Callable[[typer.Context, str], list[str]]


def _offering(names: Callable[[typer.Context], Iterable[str]]) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return sorted({name for name in names(ctx) if name.startswith(incomplete)})
        except Exception:  # see above
            return []

    return complete


def _models(_: typer.Context) -> Iterable[str]:
    from indexer.load import known_models

    return [known.bundle.name for known in known_models()]


def _collection(ctx: typer.Context) -> Path | None:
    """Return the collection that the line names so far."""
    named = ctx.params.get("collection")
    return None if named is None else Path(named)


def _heads(ctx: typer.Context) -> Iterable[str]:
    from indexer.store.collection import locate
    from search.labels.artifact import names
    from search.labels.heads import heads_folder

    return names(heads_folder(locate(_collection(ctx)).folder))


def _labels(ctx: typer.Context) -> Iterable[str]:
    from contextlib import closing

    from indexer.store.catalog import Catalog
    from indexer.store.collection import locate

    with closing(Catalog.open(locate(_collection(ctx)))) as catalog:
        return [label for label, _, _ in catalog.label_counts()]


def _tags(ctx: typer.Context) -> Iterable[str]:
    from contextlib import closing

    from indexer.store.catalog import open_reader
    from indexer.store.collection import locate
    from search.tags import RESERVED

    with closing(open_reader(locate(_collection(ctx)))) as catalog:
        return {*RESERVED, *(label for label, _ in catalog.own_label_counts())}


models, heads, labels, tags = map(_offering, (_models, _heads, _labels, _tags))
