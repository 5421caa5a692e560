"""Labels that a collection keeps: its user's own, and those that a head gave."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from indexer.store.codec import Ids

from .base import OWN, Tables

if TYPE_CHECKING:  # a search from the command line has no use for them
    from indexer.store.rows import SavedLabel


def head_origin(name: str) -> str:
    """Return the origin of a head's labels."""
    return f"head:{name}"


class LabelTables(Tables):
    """The table `labels`."""

    def save_labels(self, labels: "Iterable[SavedLabel]") -> int:
        """Add labels, in place of the same ones; return how many there were to add."""
        rows = [(one.content, one.label, one.origin, one.probability) for one in labels]
        self._many(
            "INSERT INTO labels VALUES (?, ?, ?, ?) ON CONFLICT (label, content, origin) "
            "DO UPDATE SET probability = excluded.probability",
            rows,
        )
        return len(rows)

    def remove_labels_of(self, origin: str) -> int:
        """Forget all labels of one origin; return how many."""
        return self._query("DELETE FROM labels WHERE origin = ?", (origin,)).rowcount

    def remove_label(self, label: str, contents: Iterable[int] | None = None) -> int:
        """Forget a label of these contents, or of all, whoever gave it; return how many."""
        if contents is None:
            self._query("DELETE FROM kept_labels WHERE label = ?", (label,))
            return self._query("DELETE FROM labels WHERE label = ?", (label,)).rowcount
        rows = [(label, number) for number in contents]
        return self._many("DELETE FROM labels WHERE label = ? AND content = ?", rows).rowcount

    def remove_tags(self, tags: Iterable[tuple[str, int]]) -> int:
        """Forget what the user said, given as (label, content); return how many there were."""
        rows = [(label, number, OWN) for label, number in tags]
        return self._many(
            "DELETE FROM labels WHERE label = ? AND content = ? AND origin = ?", rows
        ).rowcount

    def remove_own_labels(self, contents: Iterable[int]) -> None:
        """Forget what the user said of these contents."""
        rows = [(number, OWN) for number in contents]
        self._many("DELETE FROM labels WHERE content = ? AND origin = ?", rows)

    def own_labels(self, contents: Sequence[int]) -> list[tuple[int, str]]:
        """Return (content, label) of what the user said of these contents, in this order."""
        found = self._by_ids(
            f"SELECT content, label FROM labels WHERE origin = '{OWN}' AND content IN ({{ids}})",
            contents,
        )
        return sorted((number, label) for number, label in found)

    def own_label_counts(self) -> list[tuple[str, int]]:
        """Return (label, images that the user gave it to), by label."""
        return self._query(
            "SELECT label, count(*) FROM labels JOIN contents ON contents.id = content "
            "WHERE paths > 0 AND origin = ? GROUP BY label ORDER BY label",
            (OWN,),
        ).fetchall()

    def contents_with_own_label(self, label: str) -> Ids:
        """Return the contents `(n,)`, ascending, that have a file and this label of the user's."""
        found = self._column(
            "SELECT content FROM labels JOIN contents ON contents.id = content "
            "WHERE label = ? AND origin = ? AND paths > 0 ORDER BY content",
            (label, OWN),
        )
        return np.array(found, dtype=np.int64)

    def count_own_labels(self, contents: Sequence[int]) -> int:
        """Return how many labels the user gave to these contents."""
        counts = self._by_ids(
            f"SELECT count(*) FROM labels WHERE origin = '{OWN}' AND content IN ({{ids}})", contents
        )
        return sum(count for (count,) in counts)

    def count_kept_labels(self) -> int:
        """Return how many labels are kept of contents that are not in the collection any more."""
        count: int = self._value("SELECT count(*) FROM kept_labels")
        return count

    def saved_labels(self, *, minimum: float = 0.0) -> "list[SavedLabel]":
        """Return the labels of images that have a file, by image, likeliest first.

        Args:
            minimum: Leave out labels of a lower probability.
        """
        from indexer.store.rows import SavedLabel

        rows = self._query(
            "SELECT content, label, probability, origin FROM labels JOIN contents ON "
            "contents.id = content WHERE paths > 0 AND probability >= ? "
            "ORDER BY content, probability DESC, label, origin",
            (minimum,),
        )
        return [SavedLabel(*row) for row in rows]

    def label_counts(self) -> list[tuple[str, str, int]]:
        """Return (label, origin, images), by label."""
        return self._query(
            "SELECT label, origin, count(*) FROM labels JOIN contents ON contents.id = content "
            "WHERE paths > 0 GROUP BY label, origin ORDER BY label, origin"
        ).fetchall()

    def contents_with_label(self, label: str, probability: float) -> Ids:
        """Return the contents `(n,)`, ascending, that have a label with a higher probability."""
        found = self._column(
            "SELECT DISTINCT content FROM labels WHERE label = ? AND probability > ? "
            "ORDER BY content",
            (label, probability),
        )
        return np.array(found, dtype=np.int64)
