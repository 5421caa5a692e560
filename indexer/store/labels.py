"""Labels that a collection keeps: a user's own, and those that a head gave."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .catalog import Catalog
from .codec import Ids

OWN = "user"


def by_head(name: str) -> str:
    """The origin of a head's labels."""
    return f"head:{name}"


@dataclass(frozen=True)
class Kept:
    """content: an id. probability: 1 for a user's own. origin: "user", or "head:NAME"."""

    content: int
    label: str
    probability: float
    origin: str


def keep(catalog: Catalog, labels: Iterable[Kept]) -> int:
    """Add labels, in place of the same ones; returns how many there were to add."""
    rows = [(one.content, one.label, one.origin, one.probability) for one in labels]
    catalog.connection.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?)", rows)
    return len(rows)


def drop_origin(catalog: Catalog, origin: str) -> int:
    """Forget all labels of one origin; returns how many."""
    return catalog.connection.execute("DELETE FROM labels WHERE origin = ?", (origin,)).rowcount


def drop(catalog: Catalog, label: str, contents: Iterable[int] | None = None) -> int:
    """Forget a label, whoever gave it: of these contents, or of all; returns how many."""
    if contents is None:
        return catalog.connection.execute("DELETE FROM labels WHERE label = ?", (label,)).rowcount
    rows = [(label, number) for number in contents]
    return catalog.connection.executemany(
        "DELETE FROM labels WHERE label = ? AND content = ?", rows
    ).rowcount


def kept(catalog: Catalog, *, least: float = 0.0) -> list[Kept]:
    """All labels of images that have a file, by image, likeliest first."""
    rows = catalog.connection.execute(
        "SELECT content, label, probability, origin FROM labels JOIN contents ON "
        "contents.id = content WHERE paths > 0 AND probability >= ? "
        "ORDER BY content, probability DESC, label, origin",
        (least,),
    )
    return [Kept(*row) for row in rows]


def kept_by_path(catalog: Catalog, *, least: float = 0.0) -> dict[bytes, list[Kept]]:
    """Each label once a file, by absolute path; of a label given twice the likelier one."""
    best: dict[int, dict[str, Kept]] = {}
    for one in kept(catalog, least=least):
        best.setdefault(one.content, {}).setdefault(one.label, one)
    contents = catalog.contents(sorted(best))
    found = [(path, own) for number, own in best.items() for path in contents[number].paths]
    return {path: list(own.values()) for path, own in sorted(found)}


def counts(catalog: Catalog) -> list[tuple[str, str, int]]:
    """(label, origin, images), by label."""
    return catalog.connection.execute(
        "SELECT label, origin, count(*) FROM labels JOIN contents ON contents.id = content "
        "WHERE paths > 0 GROUP BY label, origin ORDER BY label, origin"
    ).fetchall()


def with_label(catalog: Catalog, label: str, probability: float) -> Ids:
    """The contents `(n,)`, ascending, that keep a label with more than this probability."""
    rows = catalog.connection.execute(
        "SELECT DISTINCT content FROM labels WHERE label = ? AND probability > ? ORDER BY content",
        (label, probability),
    )
    return np.array([row[0] for row in rows], dtype=np.int64)
