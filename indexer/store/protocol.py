"""The faces of a store: what searches read, and what an index run writes.

`Catalog` (SQLite) and `PostgresStore` are those that are here; `tests/support/store_contract.py` is
the suite of tests that each of them has to pass. Numbers that name contents and roots are the
store's own and are never used again. Paths are raw bytes. Methods that write are called inside
`transaction`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from indexer.encoder import Embeddings

    from .codec import Halves, Ids, Scores, Seconds
    from .records import (
        CodesFile,
        Content,
        FileConditions,
        IndexOptions,
        Model,
        OwnIndex,
        Scope,
        Shard,
        VectorFile,
        Words,
    )
    from .rows import Exclusion, FileRow, NewContent, SavedLabel, StoredFile, Task
    from .tables.contents import GrayThumbnails


class StoreReader(Protocol):
    """One collection, open for reading; sees what is committed, and never waits for a writer."""

    def close(self) -> None:
        """Let go of the collection."""

    @property
    def is_current(self) -> bool:
        """Whether what is read is what lies at the collection's place now."""

    def refresh(self) -> bool:
        """Open the collection anew if it is not current; return whether that was so."""

    def state(self) -> object:
        """Return what differs once anybody has written; None where nothing tells that."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Read one state inside, whatever is committed meanwhile."""

    # Models and vectors.

    def active_model(self) -> Model | None:
        """Return the model whose vectors answer searches; None before the first index run."""

    def models(self) -> list[tuple[Model, str, int]]:
        """Return (model, "active", "pending" or "former", vectors of images with a file)."""

    def generation(self) -> int:
        """Return how many commits changed the embeddings so far."""

    def embeddings(self, fingerprint: str) -> Iterator[tuple[Ids, Embeddings]]:
        """Yield (ids `(n,)`, vectors `(n, dim)`) in parts, oldest first."""

    def halves(
        self, fingerprint: str, *, since: int = 0, chunk: int = 1024
    ) -> Iterator[tuple[Ids, Halves]]:
        """Yield (ids, vectors in half precision) of generations after `since`, oldest first."""

    def embeddings_of(self, fingerprint: str, ids: Sequence[int]) -> dict[int, Embeddings]:
        """Return the vector `(dim,)` of each of these contents that has one."""

    def embedding_by_digest(self, fingerprint: str, digest: bytes) -> Embeddings | None:
        """Return the vector `(dim,)` of the content with this hash; None where there is none."""

    def is_encoded(self, fingerprint: str, digest: bytes) -> bool:
        """Return whether the content with this hash has both its vector and its thumbnail."""

    def count_embeddings(self, fingerprint: str, *, since: int = 0) -> int:
        """Return how many vectors came in generations after `since`."""

    def tombstoned(self, *, since: int) -> list[int]:
        """Return the contents whose vectors were removed in generations after `since`."""

    def vector_files(self, fingerprint: str) -> list[VectorFile]:
        """Return the FAISS files that were published, newest first."""

    def codes_file(self, fingerprint: str) -> CodesFile | None:
        """Return the file of codes that was published; None where there is none."""

    def own_index(self, fingerprint: str) -> OwnIndex | None:
        """Return how the store finds vectors by itself; None where files do that."""

    def index_options(self) -> IndexOptions:
        """Return how the vectors are to be searched."""

    # Contents.

    def content_of(self, digest: bytes) -> int | None:
        """Return the id of the content with this hash."""

    def contents(self, ids: Sequence[int]) -> dict[int, Content]:
        """Return the contents of these ids that still have a file."""

    def digest_and_format(self, content: int) -> tuple[bytes, str] | None:
        """Return (hash, format) of a content that has a file; None where there is none."""

    def digests(self, among: Sequence[int] | None = None) -> dict[int, bytes]:
        """Return the hashes of all contents, or of some, by id."""

    def image_ids(self) -> list[int]:
        """Return the contents that have a file."""

    def image_count(self) -> int:
        """Return how many contents have a file; cheap to ask again and again."""

    def without_files(self, among: Sequence[int] | None = None) -> list[int]:
        """Return the contents, of all or of some, whose files have all vanished."""

    def copied(self) -> list[int]:
        """Return the contents that several files hold, ascending."""

    def newest(self, k: int, offset: int) -> list[int]:
        """Return the contents `offset + 1` to `offset + k`, newest first."""

    def newest_first(self) -> Ids:
        """Return all contents that have a file, `(n,)`, newest first."""

    def dated(self) -> tuple[Ids, Seconds]:
        """Return them with the times that they are in order of, both `(n,)`."""

    def gray_thumbnails(self, within: Sequence[int] | None = None) -> tuple[Ids, GrayThumbnails]:
        """Return (ids, thumbnails) of contents that have a file, larger images first."""

    def notes(self) -> list[tuple[str, int]]:
        """Return (note, how many images have it) of all images that have a file."""

    def count_without_thumbnail(self) -> int:
        """Return how many images an older clipdex indexed, which made no thumbnails."""

    def stored_images(self, fingerprint: str) -> Iterator[tuple[int, NewContent]]:
        """Yield (id, image) of each content that has a vector of this model, by id."""

    def cameras(self) -> list[tuple[int, str]]:
        """Return (number, body and lens) of each camera that images were taken with."""

    def contents_by_camera(self, cameras: Sequence[int]) -> Ids:
        """Return the contents `(n,)`, ascending, that have a file and one of these cameras."""

    # Files.

    def stored_files(self) -> Iterator[FileRow]:
        """Yield what came of each file, in the order in which it was entered."""

    def roots(self) -> dict[int, bytes]:
        """Return the indexed folders by id, in order of their paths."""

    def counts(self) -> tuple[int, int, int]:
        """Return (files with a content, contents with a file, files that failed)."""

    def failures(self) -> Iterator[tuple[bytes, str]]:
        """Yield (absolute path, reason) of each file that could not be indexed."""

    def files_of(self, content: int) -> list[StoredFile]:
        """Return a content's files, oldest entry first."""

    def file_sizes(self, ids: Sequence[int]) -> dict[int, int]:
        """Return the size in bytes of the files that hold each of these contents."""

    def folders(self) -> list[tuple[bytes, int]]:
        """Return (path relative to its root, files in and below it) of each folder, by path."""

    def files_below(self, name: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (root, path) of the files that may lie below a folder of this name."""

    def exclusions(self) -> list[Exclusion]:
        """Return what scans leave out, in the order in which it was entered."""

    def paths_in(self, root: int) -> Iterator[bytes]:
        """Yield the path of each file of a root, relative to it."""

    def holds(self, scope: Scope) -> bool:
        """Return whether anything is known of a scope."""

    def holds_images(self, scope: Scope) -> bool:
        """Return whether a file of the scope holds an image."""

    def contents_in(self, scope: Scope) -> list[int]:
        """Return the contents that the files of a scope hold."""

    def contents_meeting(self, conditions: FileConditions) -> Iterator[int]:
        """Yield the contents of the files that meet all conditions, some repeatedly."""

    def contents_named(self, words: Words, limit: int) -> Ids:
        """Return the contents `(n,)`, ascending, with a file whose path has these words.

        About `limit` of them are enough.
        """

    @property
    def knows_words(self) -> bool:
        """Whether files are found by the words of their paths."""

    def files_meeting(
        self, conditions: FileConditions, content: int | None = None
    ) -> Iterator[tuple[int, int, bytes]]:
        """Yield (content, root, path) of the files that meet all conditions."""

    # Labels.

    def saved_labels(self, *, minimum: float = 0.0) -> list[SavedLabel]:
        """Return the labels of images that have a file, by image, likeliest first."""

    def own_labels(self, contents: Sequence[int]) -> list[tuple[int, str]]:
        """Return (content, label) of what the user said of these contents, in this order."""

    def own_label_counts(self) -> list[tuple[str, int]]:
        """Return (label, images that the user gave it to), by label."""

    def contents_with_own_label(self, label: str) -> Ids:
        """Return the contents `(n,)`, ascending, that have a file and this label of the user's."""

    def count_own_labels(self, contents: Sequence[int]) -> int:
        """Return how many labels the user gave to these contents."""

    def count_kept_labels(self) -> int:
        """Return how many labels are kept of contents that are not here any more."""

    def label_counts(self) -> list[tuple[str, str, int]]:
        """Return (label, origin, images), by label."""

    def contents_with_label(self, label: str, probability: float) -> Ids:
        """Return the contents `(n,)`, ascending, that have a label with a higher probability."""


class StoreWriter(StoreReader, Protocol):
    """One collection, open for a writer: SQLite's only one, or one of several of PostgreSQL."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all of the calls inside, or none."""

    def erasing(self) -> AbstractContextManager[None]:
        """Leave as little of what is deleted inside as the store can; transactions lie within."""

    # Models and vectors.

    def activate(self, model: Model) -> None:
        """Make `model` the one that answers searches."""

    def begin_switch(self, model: Model) -> None:
        """Make `model` the one whose vectors are being filled in."""

    def remove_former_models(self) -> list[str]:
        """Delete what belongs to models neither active nor pending; return the fingerprints."""

    def next_generation(self) -> int:
        """Count one more; called once in each transaction that changes embeddings."""

    def publish_vector_file(self, fingerprint: str, file: VectorFile) -> None:
        """Enter a FAISS file in place of the older ones of the same model."""

    def publish_codes_file(self, fingerprint: str, file: CodesFile | None) -> None:
        """Enter a file of codes in place of the former one; None for none."""

    def set_index_options(self, options: IndexOptions) -> None:
        """Keep how the vectors are to be searched."""

    # Contents, files and labels.

    def put_content(self, new: NewContent, fingerprint: str, generation: int) -> int:
        """Store an image and its vector; return the id of the content, new or known."""

    def remove_contents(self, ids: Iterable[int], generation: int) -> None:
        """Delete contents that no file holds with their vectors, and leave tombstones.

        The labels that their user gave are kept.
        """

    def add_root(self, folder: bytes) -> int:
        """Enter a root, which takes in the roots below it; return its id."""

    def hold_roots(self, numbers: Iterable[int]) -> None:
        """Keep other writers, where there are some, from removing these roots until the end."""

    def move_root(self, number: int, folder: bytes) -> None:
        """Enter that a root lies at another path."""

    def sample_files(self, root: int, count: int) -> list[FileRow]:
        """Return about `count` of a root's images, evenly chosen."""

    def set_exclusions(self, rules: Iterable[Exclusion]) -> None:
        """Enter what scans leave out, in place of all that they left out before."""

    def add_exclusions(self, rules: Iterable[Exclusion]) -> None:
        """Enter what scans leave out from now on."""

    def remove_exclusions(self, rules: Iterable[Exclusion]) -> int:
        """Scan again what these left out; return how many there were."""

    def put_file(self, row: FileRow) -> None:
        """Enter what came of a file, in place of what was known of it."""

    def is_as_known(self, row: FileRow) -> bool:
        """Return whether a file has the size, the time and the content that are known of it."""

    def remove_files(self, scope: Scope) -> int:
        """Forget the files of a scope, and its root with all of its files; return how many."""

    def save_labels(self, labels: Iterable[SavedLabel]) -> int:
        """Add labels, in place of the same ones; return how many there were to add."""

    def remove_labels_of(self, origin: str) -> int:
        """Forget all labels of one origin; return how many."""

    def remove_label(self, label: str, contents: Iterable[int] | None = None) -> int:
        """Forget a label of these contents, or of all, whoever gave it; return how many."""

    def remove_tags(self, tags: Iterable[tuple[str, int]]) -> int:
        """Forget what the user said, given as (label, content); return how many there were."""

    def remove_own_labels(self, contents: Iterable[int]) -> None:
        """Forget what the user said of these contents."""

    # One scan of the disk, compared with what is known.

    def begin_scan(self) -> None:
        """Start with nothing seen."""

    def see(self, rows: Iterable[FileRow]) -> None:
        """Note files that lie on disk, or the reason why one could not be looked at."""

    def count_images(self, scope: Scope) -> int:
        """Return how many files of the scope hold an image."""

    def files_outside(self, scopes: Sequence[Scope], root: int) -> list[FileRow]:
        """Return the images of a root that lie outside the scopes."""

    def plan_reading(
        self, fingerprint: str, *, retry_failed: bool, rehash: bool, reader: int
    ) -> tuple[int, int]:
        """Choose the files to read; return (how many, how many are as they were)."""

    def tasks(self, *, chunk: int = 256) -> Iterator[Task]:
        """Yield the files to read, in order of their paths."""

    def unreadable(self) -> list[FileRow]:
        """Return what the scan could not look at."""

    def find_vanished(self, scopes: Sequence[Scope]) -> None:
        """Find the files of scopes that the scan did not see."""

    def vanished(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield (root, path, content) of the images among the vanished files."""

    def remove_vanished(self) -> int:
        """Forget the files that `find_vanished` found; return the images gone, and not moved."""

    def saw_known_file(self, scope: Scope) -> bool:
        """Return whether the scan saw an image of a scope that is known already."""

    def mounts(self, scope: Scope) -> dict[bytes, str]:
        """Return the places in a scope that led elsewhere at the last scan: "mount" or "link"."""

    def set_mounts(self, scope: Scope, places: Mapping[bytes, str]) -> None:
        """Note the places in a scope that lead elsewhere."""

    def shard(self) -> Shard | None:
        """Return which share of all files is indexed here; None for all of them."""

    def set_shard(self, shard: Shard) -> None:
        """Keep which share of all files is indexed here."""

    def set_reader_version(self, root: int, version: int) -> None:
        """Note that all of a root was read with this reading of images."""

    def is_other_file(self, root: int, path: bytes, size: int, mtime_ns: int) -> bool:
        """Return whether a file, as it is now, was found not to be an image."""

    def put_other_files(self, rows: Iterable[FileRow]) -> None:
        """Note files that are not images."""

    def remove_other_files(self) -> None:
        """Forget which files are not images, so that they are looked into again."""


# Only annotations name it, and a search from the command line pays for each class that is made.
if TYPE_CHECKING:

    class VectorSearch(Protocol):
        """The vectors of one model as they are searched, by FAISS or by PostgreSQL.

        Scores are exact inner products.
        """

        generation: int

        @property
        def is_current(self) -> bool:
            """Whether what was opened is still to be believed."""

        @property
        def recall(self) -> float:
            """The share of the ten best vectors that searches found when that was measured."""

        def read_catalog(self, catalog: StoreReader, fingerprint: str, dim: int) -> None:
            """Read all vectors again, since scores differ from those of the catalog's vectors."""

        def search(
            self,
            query: Embeddings,
            count: int,
            *,
            without: Iterable[int] = (),
            among: Ids | None = None,
        ) -> tuple[Scores, Ids]:
            """Return scores of the best, descending, and ids; equal ones in order of the ids."""

        def count_above(
            self,
            query: Embeddings,
            minimum: float,
            *,
            without: Iterable[int] = (),
            among: Ids | None = None,
        ) -> int:
            """Return how many vectors score `minimum` or more, or about how many."""

        def above(
            self,
            query: Embeddings,
            minimum: float,
            *,
            without: Iterable[int] = (),
            among: Ids | None = None,
        ) -> Ids:
            """Return the ids `(m,)` of the vectors that score `minimum` or more, ascending."""

        def count(self, *, among: Ids | None = None, without: Iterable[int] = ()) -> int:
            """Return how many vectors `search` chooses from."""

        def vectors(self) -> Iterator[tuple[Ids, Embeddings]]:
            """Yield (ids `(n,)`, vectors `(n, dim)`) of all, in parts."""

        def earliest(self, count: int) -> Embeddings:
            """Return the `count` vectors, `(m, dim)`, that were added first, by ascending id."""
