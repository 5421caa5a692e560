"""Models, their vectors, and the generations of commits that vectors came in."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from indexer.encoder import Embeddings, unit
from indexer.errors import CollectionFormatError, ModelError
from indexer.model_name import current_name
from indexer.store.codec import Halves, Ids, halves_of, unpacked
from indexer.store.records import CodesFile, IndexKind, IndexOptions, Model, OwnIndex, VectorFile

from .base import SET_STATE, Tables

# As `state` counts them.
KINDS: tuple[IndexKind, ...] = ("auto", "exact", "approximate")
THOUSANDTHS = 1000
DIM = "SELECT dim FROM models WHERE fingerprint = ?"


class EmbeddingTables(Tables):
    """The tables `models`, `embeddings`, `tombstones`, `vector_files` and `state`."""

    def active_model(self) -> Model | None:
        """Return the model whose vectors answer searches; None before the first index run."""
        row = self._query("SELECT fingerprint, name, dim FROM models WHERE active").fetchone()
        return _model(row) if row else None

    def activate(self, model: Model) -> None:
        """Make `model` the one that answers searches."""
        self._query("UPDATE models SET active = ?", (False,))
        self._enter(model, active=True)

    def begin_switch(self, model: Model) -> None:
        """Make `model` the one whose vectors are being filled in."""
        self._query("UPDATE models SET pending = ?", (False,))
        self._enter(model, active=False)

    def _enter(self, model: Model, *, active: bool) -> None:
        self._query(
            "INSERT INTO models (fingerprint, name, dim, active, pending) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (fingerprint) DO UPDATE SET name = excluded.name, "
            "active = excluded.active, pending = excluded.pending",
            (model.fingerprint, model.name, model.dim, active, not active),
        )

    def models(self) -> list[tuple[Model, str, int]]:
        """Return (model, state, vectors of images that have a file) of each model.

        The state is "active", "pending" or "former".
        """
        rows = self._query(
            "SELECT fingerprint, name, dim, active, pending, (SELECT count(*) FROM embeddings "
            "JOIN contents ON contents.id = content WHERE embeddings.fingerprint = "
            "models.fingerprint AND paths > 0) FROM models ORDER BY active DESC, pending DESC"
        )
        return [
            (_model(row[:3]), "active" if row[3] else "pending" if row[4] else "former", row[5])
            for row in rows
        ]

    def remove_former_models(self) -> list[str]:
        """Delete what belongs to models that are neither active nor pending.

        Returns:
            Their fingerprints.
        """
        former = [model.fingerprint for model, state, _ in self.models() if state == "former"]
        for table in ("embeddings", "vector_files", "codes_files", "models"):
            self._many(f"DELETE FROM {table} WHERE fingerprint = ?", [(one,) for one in former])
        return former

    def generation(self) -> int:
        """Return how many commits changed the embeddings so far."""
        value: int = self._value("SELECT value FROM state WHERE key = 'generation'")
        return value

    def next_generation(self) -> int:
        """Count one more; called once in each transaction that changes embeddings."""
        self._query("UPDATE state SET value = value + 1 WHERE key = 'generation'")
        return self.generation()

    def embeddings(self, fingerprint: str) -> Iterator[tuple[Ids, Embeddings]]:
        """Yield (ids `(n,)`, vectors `(n, dim)`), a thousand at a time, oldest first."""
        for ids, halves in self.halves(fingerprint):
            yield ids, unit(halves)

    def halves(
        self, fingerprint: str, *, since: int = 0, chunk: int = 1024
    ) -> Iterator[tuple[Ids, Halves]]:
        """Yield (ids `(n,)`, vectors as they are stored) of generations after `since`."""
        dim = self._dim(fingerprint)
        cursor = self._query(
            "SELECT content, vector FROM embeddings "
            "WHERE fingerprint = ? AND generation > ? ORDER BY generation, content",
            (fingerprint, since),
        )
        while rows := cursor.fetchmany(chunk):
            yield halves_of(rows, dim)

    def _dim(self, fingerprint: str) -> int | None:
        """Return the length of a model's vectors; None where the catalog names no such model."""
        dim: int | None = self._value(DIM, (fingerprint,))
        return dim

    def embeddings_of(self, fingerprint: str, ids: Sequence[int]) -> dict[int, Embeddings]:
        """Return the vector `(dim,)` of each of these contents that has one."""
        rows = list(
            self._by_ids(
                f"SELECT content, vector, ({DIM}) FROM embeddings "
                "WHERE fingerprint = ? AND content IN ({ids})",
                ids,
                (fingerprint, fingerprint),
            )
        )
        if not rows:
            return {}
        numbers, vectors = unpacked(rows, rows[0][2])
        return dict(zip(numbers.tolist(), vectors, strict=True))

    def embedding_by_digest(self, fingerprint: str, digest: bytes) -> Embeddings | None:
        """Return the vector `(dim,)` of the content with this hash; None where there is none."""
        row = self._query(
            "SELECT content, vector FROM contents JOIN embeddings ON content = id "
            "WHERE hash = ? AND fingerprint = ?",
            (digest, fingerprint),
        ).fetchone()
        return None if row is None else unpacked([row], self._dim(fingerprint))[1][0]

    def is_encoded(self, fingerprint: str, digest: bytes) -> bool:
        """Return whether the content with this hash has both its vector and its thumbnail."""
        found = self._value(
            "SELECT 1 FROM contents JOIN embeddings ON content = id "
            "WHERE hash = ? AND fingerprint = ? AND sketch IS NOT NULL",
            (digest, fingerprint),
        )
        return found is not None

    def count_embeddings(self, fingerprint: str, *, since: int = 0) -> int:
        """Return how many vectors came in generations after `since`."""
        count: int = self._value(
            "SELECT count(*) FROM embeddings WHERE fingerprint = ? AND generation > ?",
            (fingerprint, since),
        )
        return count

    def tombstoned(self, *, since: int) -> list[int]:
        """Return the contents whose vectors were removed in generations after `since`."""
        return self._column("SELECT content FROM tombstones WHERE generation > ?", (since,))

    def vector_files(self, fingerprint: str) -> list[VectorFile]:
        """Return the FAISS files that were published, newest first."""
        rows = self._query(
            "SELECT generation, vectors, bytes, digests FROM vector_files "
            "WHERE fingerprint = ? ORDER BY generation DESC",
            (fingerprint,),
        )
        return [VectorFile(*row) for row in rows]

    def codes_file(self, fingerprint: str) -> CodesFile | None:
        """Return the file of codes that was published; None where there is none."""
        row = self._query(
            "SELECT generation, vectors, trained, bytes, digests, probes, depth, text_recall, "
            "image_recall FROM codes_files WHERE fingerprint = ?",
            (fingerprint,),
        ).fetchone()
        return None if row is None else CodesFile(*row)

    def publish_codes_file(self, fingerprint: str, file: CodesFile | None) -> None:
        """Enter a file of codes in place of the former one; None for none."""
        self._query("DELETE FROM codes_files WHERE fingerprint = ?", (fingerprint,))
        if file is not None:
            self._query(
                "INSERT INTO codes_files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (fingerprint, *astuple(file)),
            )

    def own_index(self, fingerprint: str) -> OwnIndex | None:
        """Return None: FAISS's files are searched."""
        return None

    def index_options(self) -> IndexOptions:
        """Return how the vectors are to be searched."""
        known = dict(self._query("SELECT key, value FROM state WHERE key IN ('index', 'recall')"))
        usual = IndexOptions()
        recall = known.get("recall")
        return IndexOptions(
            KINDS[known["index"]] if known.get("index") in range(len(KINDS)) else usual.kind,
            recall / THOUSANDTHS if isinstance(recall, int) else usual.recall,
        )

    def set_index_options(self, options: IndexOptions) -> None:
        """Keep how the vectors are to be searched."""
        rows = (
            ("index", KINDS.index(options.kind)),
            ("recall", round(options.recall * THOUSANDTHS)),
        )
        self._many(SET_STATE, rows)

    def publish_vector_file(self, fingerprint: str, file: VectorFile) -> None:
        """Enter a FAISS file in place of the older ones of the same model."""
        self._query(
            "INSERT INTO vector_files (fingerprint, generation, vectors, bytes, digests) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT (fingerprint, generation) DO UPDATE SET "
            "vectors = excluded.vectors, bytes = excluded.bytes, digests = excluded.digests",
            (fingerprint, file.generation, file.vectors, file.size, file.digests),
        )
        self._query(
            "DELETE FROM vector_files WHERE fingerprint = ? AND generation < ?",
            (fingerprint, file.generation),
        )


def _model(row: tuple[str, str, int]) -> Model:
    """Return a model as the catalog names it.

    Raises:
        CollectionFormatError: clipdex never names one so.
    """
    try:
        fingerprint, name, dim = row
        return Model(fingerprint, current_name(name, fingerprint), dim)
    except ModelError as exc:
        raise CollectionFormatError(
            f"the catalog is damaged, or was not written by clipdex: {exc}. Restore it from a "
            "backup, or index the photos into another folder with --collection"
        ) from exc
