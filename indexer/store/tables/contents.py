"""Contents: images by hash, their sizes, capture times and gray thumbnails."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.errors import CollectionFormatError
from indexer.store.clock import BELIEVED_SECONDS, latest_believable
from indexer.store.codec import Ids, Seconds, damaged_row
from indexer.store.records import Content, join

from .base import OWN, Tables

if TYPE_CHECKING:  # a search from the command line has no use for them
    from indexer.store.rows import NewContent

THUMBNAIL_SIDE = 32

# The year 1, in seconds since 1970; times to come are not believed, whatever they are.
EARLIEST = -62_135_596_800

GrayThumbnails = NDArray[np.uint8]
"""`(n, THUMBNAIL_SIDE, THUMBNAIL_SIDE)` luminance, 0 to 255."""

# By when images were taken where they say so believably, else by their oldest file.
NEWEST_FIRST = (
    "SELECT contents.id, "
    "CASE WHEN taken_at <= ? THEN taken_at ELSE min(files.mtime_ns) / 1000000000 END AS moment "
    "FROM contents JOIN files ON files.content = contents.id "
    "GROUP BY contents.id ORDER BY moment DESC, contents.id DESC"
)

STORED_IMAGES = (
    "SELECT contents.id, hash, width, height, format, taken_at, taken_offset, sketch, vector, "
    "note, body, lens FROM contents JOIN embeddings ON content = contents.id "
    "LEFT JOIN cameras ON cameras.id = contents.camera"
)


def stored_image(row: Sequence[Any]) -> "NewContent":
    """Return the image of a row of STORED_IMAGES, without its id."""
    from indexer.store.rows import NewContent

    *about, body, lens = row
    return replace(NewContent(*about), camera=None if body is None else (body, lens))


class ContentTables(Tables):
    """The table `contents`."""

    # What `dated` has returned, of which state.
    _dated: tuple[object, Ids, Seconds] | None = None
    # Whether the newest were asked for before.
    _listed = False

    def state(self) -> object:
        """Return what differs once anybody has written; None where nothing tells that."""
        return None

    def content_of(self, digest: bytes) -> int | None:
        """Return the id of the content with this hash."""
        number: int | None = self._value("SELECT id FROM contents WHERE hash = ?", (digest,))
        return number

    def contents(self, ids: Sequence[int]) -> dict[int, Content]:
        """Return the contents of these ids that still have a file."""
        found: dict[int, Content] = {}
        for content, digest, width, height, root, path, changed, *captured in self._by_ids(
            "SELECT contents.id, hash, width, height, roots.path, files.path, mtime_ns, taken_at, "
            "taken_offset FROM files "
            "JOIN contents ON contents.id = files.content "
            "JOIN roots ON roots.id = files.root "
            "WHERE files.content IN ({ids}) ORDER BY files.id",
            ids,
        ):
            _check_capture(content, *captured)
            earlier = found.get(content)
            paths = (*(earlier.paths if earlier else ()), join(root, path))
            times = (*(earlier.file_times if earlier else ()), changed)
            found[content] = Content(content, digest, paths, width, height, times, *captured)
        return found

    def digest_and_format(self, content: int) -> tuple[bytes, str] | None:
        """Return (hash, format) of a content that has a file; None where there is none."""
        found: tuple[bytes, str] | None = self._query(
            "SELECT hash, format FROM contents WHERE id = ? AND paths > 0", (content,)
        ).fetchone()
        return found

    def digests(self, among: Sequence[int] | None = None) -> dict[int, bytes]:
        """Return the hashes of all contents, or of some, by id."""
        query = "SELECT id, hash FROM contents"
        if among is None:
            return dict(self._query(query))
        return dict(self._by_ids(f"{query} WHERE id IN ({{ids}})", among))

    def image_ids(self) -> list[int]:
        """Return the contents that have a file."""
        return self._column("SELECT id FROM contents WHERE paths > 0")

    def without_files(self, among: Sequence[int] | None = None) -> list[int]:
        """Return the contents whose files have all vanished: kept, but not hits.

        Args:
            among: Only these contents.
        """
        query = "SELECT id FROM contents WHERE paths = 0"
        if among is None:
            return self._column(query)
        return [number for (number,) in self._by_ids(f"{query} AND id IN ({{ids}})", among)]

    def copied(self) -> list[int]:
        """Return the contents that several files hold."""
        return self._column("SELECT id FROM contents WHERE paths > 1 ORDER BY id")

    def newest(self, k: int, offset: int) -> list[int]:
        """Return the contents `offset + 1` to `offset + k`, newest first."""
        again, self._listed = self._listed or self._dated is not None, True
        if offset or again:  # one reads on or asks again, and would have all sorted each time
            page: list[int] = self.newest_first()[offset : offset + k].tolist()
            return page
        return self._column(f"{NEWEST_FIRST} LIMIT ?", (latest_believable(), k))

    def newest_first(self) -> Ids:
        """Return all contents that have a file, `(n,)`, newest first."""
        return self.dated()[0]

    def dated(self) -> tuple[Ids, Seconds]:
        """Return them with the times that they are in order of, both `(n,)`.

        They are sorted again only when somebody has written.

        Raises:
            CollectionFormatError: A time is none that a calendar holds.
        """
        believable = latest_believable()
        written = self.state()
        state = None if written is None else (written, believable // BELIEVED_SECONDS)
        if self._dated is not None and state is not None and self._dated[0] == state:
            return self._dated[1:]
        rows = self._query(NEWEST_FIRST, (believable,)).fetchall()
        table = np.array(rows, dtype=np.int64).reshape(len(rows), 2)
        ids, seconds = table[:, 0].copy(), table[:, 1].copy()
        if len(ids) and seconds[-1] < EARLIEST:
            raise damaged_row(f"the capture time of image {ids[-1]} is {seconds[-1]}")
        for array in (ids, seconds):
            array.setflags(write=False)
        self._dated = state, ids, seconds
        return ids, seconds

    def stored_images(self, fingerprint: str) -> "Iterator[tuple[int, NewContent]]":
        """Yield (id, image) of each content that has a vector of this model, by id.

        Raises:
            CollectionFormatError: An older clipdex made no thumbnail of one.
        """
        for number, *row in self._query(
            f"{STORED_IMAGES} WHERE fingerprint = ? ORDER BY contents.id", (fingerprint,)
        ):
            if row[6] is None:
                raise CollectionFormatError(
                    "an older clipdex indexed some of its images: index its folders once more first"
                )
            yield number, stored_image(row)

    def put_content(self, new: "NewContent", fingerprint: str, generation: int) -> int:
        """Store an image and its vector, and give it back the labels that its user gave it once.

        A vector that is there already stays: the FAISS files hold it under this id.

        Returns:
            The id of the content, new or known.
        """
        content: int = self._value(
            "INSERT INTO contents (hash, width, height, format, taken_at, taken_offset, sketch, "
            "note, camera) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (hash) DO UPDATE SET width = excluded.width, height = excluded.height, "
            "format = excluded.format, taken_at = excluded.taken_at, "
            "taken_offset = excluded.taken_offset, sketch = excluded.sketch, "
            "note = excluded.note, camera = coalesce(excluded.camera, contents.camera) "
            "RETURNING id",
            (
                new.digest,
                new.width,
                new.height,
                new.format,
                new.capture_seconds,
                new.capture_offset,
                new.thumbnail,
                new.note,
                None if new.camera is None else self._camera(new.camera),
            ),
        )
        self._query(
            "INSERT INTO embeddings VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (content, fingerprint, generation, self._stored(new.vector)),
        )
        if self._value("SELECT 1 FROM kept_labels WHERE hash = ? LIMIT 1", (new.digest,)):
            self._query(
                "INSERT INTO labels SELECT ?, label, origin, probability "
                "FROM kept_labels WHERE hash = ? ON CONFLICT DO NOTHING",
                (content, new.digest),
            )
            self._query("DELETE FROM kept_labels WHERE hash = ?", (new.digest,))
        return content

    def _camera(self, camera: tuple[str, str]) -> int:
        """Return the number of a (body, lens), new or known."""
        known: int | None = self._value(
            "SELECT id FROM cameras WHERE body = ? AND lens = ?", camera
        )
        if known is not None:
            return known
        number: int = self._value(
            "INSERT INTO cameras (body, lens) VALUES (?, ?) ON CONFLICT (body, lens) "
            "DO UPDATE SET lens = excluded.lens RETURNING id",
            camera,
        )
        return number

    def cameras(self) -> list[tuple[int, str]]:
        """Return (number, body and lens) of each camera that images were taken with."""
        return self._query(
            "SELECT id, body || ' ' || lens FROM cameras WHERE body <> '' OR lens <> '' ORDER BY id"
        ).fetchall()

    def contents_by_camera(self, cameras: Sequence[int]) -> Ids:
        """Return the contents `(n,)`, ascending, that have a file and one of these cameras."""
        found = self._by_ids(
            "SELECT id FROM contents WHERE paths > 0 AND camera IN ({ids})", cameras
        )
        return np.sort(np.fromiter((number for (number,) in found), dtype=np.int64))

    def _stored(self, vector: bytes) -> object:
        """Return a vector as the database takes it."""
        return vector

    def remove_contents(self, ids: Iterable[int], generation: int) -> None:
        """Delete contents with their vectors, and leave tombstones.

        The labels that their user gave are kept by the contents' hashes.
        """
        rows = [(number,) for number in ids]
        self._many(f"INSERT INTO tombstones VALUES (?, {int(generation)})", rows)
        self._many(
            "INSERT INTO kept_labels SELECT hash, label, origin, probability "
            f"FROM labels JOIN contents ON contents.id = content WHERE content = ? "
            f"AND origin = '{OWN}' ON CONFLICT (hash, label, origin) "
            "DO UPDATE SET probability = excluded.probability",
            rows,
        )
        self._many("DELETE FROM embeddings WHERE content = ?", rows)
        self._many("DELETE FROM labels WHERE content = ?", rows)
        self._many("DELETE FROM contents WHERE id = ?", rows)

    def gray_thumbnails(self, within: Sequence[int] | None = None) -> tuple[Ids, GrayThumbnails]:
        """Return (ids `(n,)`, thumbnails) of the contents that have a file, larger images first.

        Contents that an older clipdex indexed have none until they are indexed again.

        Args:
            within: Only these contents.
        """
        query = (
            "SELECT id, sketch, width * height FROM contents WHERE paths > 0 AND sketch IS NOT NULL"
        )
        found: Iterator[tuple[int, bytes, int]] = (
            iter(self._query(query))
            if within is None
            else self._by_ids(f"{query} AND id IN ({{ids}})", within)
        )
        rows = sorted(found, key=lambda row: (-row[2], row[0]))
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        for number, sketch, _ in rows:
            if len(sketch) != THUMBNAIL_SIDE**2:
                raise damaged_row(f"the gray thumbnail of image {number} has {len(sketch)} bytes")
        packed = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8)
        return ids, packed.reshape(len(rows), THUMBNAIL_SIDE, THUMBNAIL_SIDE)

    def notes(self) -> list[tuple[str, int]]:
        """Return (note, how many images have it) of all images that have a file."""
        return self._query(
            "SELECT note, count(*) FROM contents WHERE paths > 0 AND note IS NOT NULL "
            "GROUP BY note ORDER BY note"
        ).fetchall()

    def count_without_thumbnail(self) -> int:
        """Return how many images an older clipdex indexed, which made no thumbnails."""
        count: int = self._value("SELECT count(*) FROM contents WHERE paths > 0 AND sketch IS NULL")
        return count


def _check_capture(content: int, seconds: int | None, offset: int | None) -> None:
    """Check that a capture time is one that a calendar holds.

    Raises:
        CollectionFormatError: It is not.
    """
    if (seconds or 0) < EARLIEST or abs(offset or 0) >= 24 * 60:
        raise damaged_row(f"the capture time of image {content} is {seconds}, {offset}")
