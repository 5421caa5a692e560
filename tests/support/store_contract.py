"""What every store has to do: the tests of `StoreReader` and `StoreWriter`.

A back end's test module subclasses `StoreContract` and says how its store is opened. Rows are made
in the order in which index runs make them: a vector's model is entered before it, and a content is
removed after its files. SQLite does not check that; PostgreSQL does, since another writer may come
between.
"""

from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest

from indexer.encoder import Embeddings, unit
from indexer.store.codec import packed
from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.records import (
    CodesFile,
    FileConditions,
    IndexOptions,
    Model,
    Moment,
    OwnIndex,
    Scope,
    Shard,
    VectorFile,
    Words,
)
from indexer.store.rows import Exclusion, FileRow, NewContent, SavedLabel
from indexer.store.tables.contents import THUMBNAIL_SIDE

MODEL = Model("a" * 32, "fake", 8)
OTHER = Model("b" * 32, "other", 8)
DAY = 86_400


def vector(seed: int) -> Embeddings:
    draw: Embeddings = unit(np.random.default_rng(seed).standard_normal((1, 8)))[0]
    return draw


def content(seed: int, *, captured: int | None = None, offset: int | None = None) -> NewContent:
    thumbnail = bytes([seed]) * THUMBNAIL_SIDE**2
    (stored,) = packed(vector(seed)[np.newaxis])
    return NewContent(b"%016d" % seed, 10 * seed, 10, "JPEG", captured, offset, thumbnail, stored)


def add(store: StoreWriter, root: int, path: bytes, new: NewContent, *, changed: int = 0) -> int:
    """Store an image with its file; return the content's id."""
    number = store.put_content(new, MODEL.fingerprint, store.next_generation())
    store.put_file(FileRow(root, path, 100, changed, number))
    return number


class StoreContract:
    """Tests of an empty store; `writing` and `reading` are the back end's own."""

    def writing(self) -> AbstractContextManager[StoreWriter]:
        raise NotImplementedError

    def reading(self) -> AbstractContextManager[StoreReader]:
        raise NotImplementedError

    @contextmanager
    def filled(self):  # type: ignore[no-untyped-def]
        """A writer of a store with three images below one root, and their ids."""
        with self.writing() as store:
            with store.transaction():
                store.activate(MODEL)
                root = store.add_root(b"/photos")
                names = (b"a.jpg", b"italy/b.jpg", b"italy/rome/c.jpg")
                ids = [
                    add(store, root, name, content(seed), changed=seed * 10**9)
                    for seed, name in enumerate(names, start=1)
                ]
            yield store, root, ids

    def test_model_is_active_then_switched(self) -> None:
        with self.filled() as (store, _, ids):
            with store.transaction():
                store.begin_switch(OTHER)
            assert store.active_model() == MODEL
            assert [(one, state) for one, state, _ in store.models()] == [
                (MODEL, "active"), (OTHER, "pending")
            ]  # fmt: skip
            with store.transaction():
                store.activate(OTHER)
                assert store.remove_former_models() == [MODEL.fingerprint]
            assert store.active_model() == OTHER
            assert store.embeddings_of(MODEL.fingerprint, ids) == {}

    def test_vectors_come_back(self) -> None:
        with self.filled() as (store, _, ids):
            found = store.embeddings_of(MODEL.fingerprint, [*ids, 999])
            assert list(found) == ids
            for seed, number in enumerate(ids, start=1):
                assert found[number] @ vector(seed) > 0.9999
            numbers, vectors = next(store.embeddings(MODEL.fingerprint))
            assert numbers.tolist() == ids
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
            assert store.count_embeddings(MODEL.fingerprint) == 3
            assert store.embedding_by_digest(MODEL.fingerprint, b"%016d" % 2) is not None
            assert store.embedding_by_digest(OTHER.fingerprint, b"%016d" % 2) is None
            assert store.is_encoded(MODEL.fingerprint, b"%016d" % 2)

    def test_generations_name_what_is_new(self) -> None:
        with self.filled() as (store, root, ids):
            before = store.generation()
            with store.transaction():
                new = add(store, root, b"d.jpg", content(4))
            found = [i for part, _ in store.halves(MODEL.fingerprint, since=before) for i in part]
            assert found == [new]
            with store.transaction():
                store.remove_files(Scope(root, b"/photos", b"a.jpg"))
                store.remove_contents([ids[0]], store.next_generation())
            assert store.tombstoned(since=before) == [ids[0]]
            assert store.tombstoned(since=store.generation()) == []

    def test_ids_are_never_reused(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                store.remove_files(Scope(root, b"/photos", b"italy"))
                store.remove_contents(store.without_files(), store.next_generation())
                root = store.add_root(b"/more")
                new = add(store, root, b"e.jpg", content(5))
            assert new > max(ids)
            assert store.content_of(b"%016d" % 2) is None

    def test_failed_transaction_leaves_nothing(self) -> None:
        with self.filled() as (store, root, _):

            def fail() -> None:
                with store.transaction():
                    add(store, root, b"x.jpg", content(6))
                    raise RuntimeError

            before = store.generation(), store.counts()
            with pytest.raises(RuntimeError):
                fail()
            assert (store.generation(), store.counts()) == before

    def test_writer_may_remove_the_roots_that_it_holds(self) -> None:
        with self.filled() as (store, root, _):
            with store.transaction():
                store.hold_roots([root])
                assert store.remove_files(Scope(root, b"/photos")) == 3
            assert store.roots() == {}

    def test_readers_see_commits_alone(self) -> None:
        with self.filled() as (store, root, _), self.reading() as reader:
            assert reader.image_count() == 3
            with store.transaction():
                add(store, root, b"d.jpg", content(4))
                assert reader.counts() == (3, 3, 0)
            assert reader.counts() == (4, 4, 0)
            assert reader.image_count() == 4
            with reader.snapshot():
                assert reader.counts()[0] == 4
                with store.transaction():
                    add(store, root, b"e.jpg", content(5))
                assert reader.counts()[0] == 4
            assert reader.counts()[0] == 5

    def test_contents_name_their_files(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                store.put_file(FileRow(root, b"copy.jpg", 120, 7, ids[0]))
            found = store.contents([*ids, 999])
            assert list(found) == ids or set(found) == set(ids)
            assert found[ids[0]].paths == (b"/photos/a.jpg", b"/photos/copy.jpg")
            assert found[ids[0]].file_times == (10**9, 7)
            assert (found[ids[1]].width, found[ids[1]].height) == (20, 10)
            assert store.copied() == [ids[0]]
            assert store.file_sizes(ids)[ids[0]] == 120
            assert [one.path for one in store.files_of(ids[0])] == list(found[ids[0]].paths)
            assert store.digest_and_format(ids[1]) == (b"%016d" % 2, "JPEG")
            assert store.digest_and_format(999) is None
            assert store.folders() == [(b"italy", 2), (b"italy/rome", 1)]

    def test_new_root_takes_in_those_below(self) -> None:
        with self.writing() as store, store.transaction():
            store.activate(MODEL)
            inner = store.add_root(b"/photos/2024")
            number = add(store, inner, b"a.jpg", content(1))
            outer = store.add_root(b"/photos")
            assert store.roots() == {outer: b"/photos"}
            assert store.contents([number])[number].paths == (b"/photos/2024/a.jpg",)

    def test_failures_are_rows(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                store.put_file(FileRow(root, b"a.jpg", 1, 1, reason="not an image"))
            assert list(store.failures()) == [(b"/photos/a.jpg", "not an image")]
            assert store.counts() == (2, 2, 1)
            assert store.without_files() == [ids[0]]
            assert ids[0] not in store.image_ids()

    def test_scopes_hold_what_lies_in_them(self) -> None:
        with self.filled() as (store, root, ids):
            photos = b"/photos"
            italy, near = Scope(root, photos, b"italy"), Scope(root, photos, b"ital")
            assert store.contents_in(italy) == ids[1:]
            assert store.contents_in(Scope(root, photos, b"italy/rome/c.jpg")) == [ids[2]]
            assert (store.count_images(italy), store.count_images(near)) == (2, 0)
            assert (store.holds_images(italy), store.holds_images(near)) == (True, False)
            assert (store.holds(italy), store.holds(near), store.holds(Scope(root, photos))) == (
                True, False, True
            )  # fmt: skip
            assert sorted(store.paths_in(root)) == [b"a.jpg", b"italy/b.jpg", b"italy/rome/c.jpg"]
            below = {path for _, path in store.files_below(b"ITALY")}
            assert below == {b"italy/b.jpg", b"italy/rome/c.jpg"}
            assert [row.path for row in store.files_outside([italy], root)] == [b"a.jpg"]
            known = FileRow(root, b"a.jpg", 100, 10**9, ids[0])
            assert store.is_as_known(known)
            assert not store.is_as_known(replace(known, content=ids[1]))
            assert not store.is_as_known(replace(known, path=b"b.jpg"))

    def test_scan_says_whether_anything_known_is_there(self) -> None:
        with self.filled() as (store, root, _):
            store.begin_scan()
            store.see([FileRow(root, b"italy/b.jpg", 1, 1), FileRow(root, b"new/x.jpg", 1, 1)])
            for below, seen in ((b"italy", True), (b"italy/rome", False), (b"new", False)):
                assert store.saw_known_file(Scope(root, b"/photos", below)) is seen

    def test_what_is_remembered_can_be_forgotten(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                store.put_other_files([FileRow(root, b"italy/notes.txt", 5, 6)])
                store.save_labels([SavedLabel(ids[0], "pear", 1.0, "user"),
                                   SavedLabel(ids[0], "pear", 0.5, "head:x")])  # fmt: skip
                store.remove_own_labels([ids[0]])
            assert [one.origin for one in store.saved_labels()] == ["head:x"]
            with store.transaction():
                store.remove_files(Scope(root, b"/photos", b"italy"))
                assert not store.is_other_file(root, b"italy/notes.txt", 5, 6)
                store.put_other_files([FileRow(root, b"b.txt", 5, 6)])
                store.remove_other_files()
                assert not store.is_other_file(root, b"b.txt", 5, 6)
                store.save_labels([SavedLabel(ids[1], "pear", 1.0, "user")])
                store.remove_contents([ids[1]], store.next_generation())
                assert store.count_kept_labels() == 1
                store.remove_label("pear")
                assert store.count_kept_labels() == 0

    def test_scan_finds_new_changed_moved_and_vanished(self) -> None:
        with self.filled() as (store, root, ids):
            scope = Scope(root, b"/photos")
            store.begin_scan()
            store.see(
                [
                    FileRow(root, b"a.jpg", 100, 10**9),
                    FileRow(root, b"italy/b.jpg", 101, 2 * 10**9),
                    FileRow(root, b"new.jpg", 5, 5),
                    FileRow(root, b"locked", -1, -1, reason="cannot be read"),
                ]
            )
            assert store.plan_reading(
                MODEL.fingerprint, retry_failed=False, rehash=False, reader=0
            ) == (2, 1)
            assert [task.location for task in store.tasks(chunk=1)] == [
                b"/photos/italy/b.jpg", b"/photos/new.jpg"
            ]  # fmt: skip
            assert [row.reason for row in store.unreadable()] == ["cannot be read"]
            assert store.count_images(scope) == 3
            with store.transaction():
                store.put_file(FileRow(root, b"new.jpg", 5, 5, ids[2]))  # moved
                store.find_vanished([scope])
                assert list(store.vanished()) == [(root, b"italy/rome/c.jpg", ids[2])]
                assert store.remove_vanished() == 0
            assert store.contents([ids[2]])[ids[2]].paths == (b"/photos/new.jpg",)

    def test_files_below_an_unreadable_folder_stay(self) -> None:
        with self.filled() as (store, root, _):
            store.begin_scan()
            store.see([FileRow(root, b"italy", -1, -1, reason="cannot be read")])
            store.plan_reading(MODEL.fingerprint, retry_failed=False, rehash=False, reader=0)
            with store.transaction():
                store.find_vanished([Scope(root, b"/photos")])
                assert store.remove_vanished() == 1
            assert store.counts()[0] == 2

    def test_rehash_reads_what_has_not_changed(self) -> None:
        with self.filled() as (store, root, _):
            store.begin_scan()
            store.see([FileRow(root, b"a.jpg", 100, 10**9)])
            assert store.plan_reading(
                MODEL.fingerprint, retry_failed=False, rehash=True, reader=0
            ) == (1, 0)
            assert [task.path for task in store.tasks()] == [b"a.jpg"]

    def test_labels_outlive_their_content(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                own = [SavedLabel(ids[0], label, 1.0, "user") for label in ("pear", "ripe")]
                store.save_labels([*own, SavedLabel(ids[0], "fruit", 0.9, "head:x")])
                digest = store.digest_and_format(ids[0])[0]  # type: ignore[index]
                store.remove_files(Scope(root, b"/photos", b"a.jpg"))
                assert store.without_files([ids[0], ids[1]]) == [ids[0]]
                assert store.count_own_labels(ids) == 2
                store.remove_contents([ids[0]], store.next_generation())
            assert store.count_kept_labels() == 2
            assert store.saved_labels() == []
            with store.transaction():
                again = add(store, root, b"b.jpg", replace(content(1), digest=digest))
            assert again not in ids
            assert [one.label for one in store.saved_labels()] == ["pear", "ripe"]
            assert store.count_kept_labels() == 0

    def test_notes_are_counted(self) -> None:
        with self.filled() as (store, root, _):
            assert store.notes() == []
            with store.transaction():
                for seed, note in (
                    (5, "partly readable"),
                    (6, "partly readable"),
                    (7, "stretched"),
                ):
                    add(store, root, b"%d.jpg" % seed, replace(content(seed), note=note))
                store.remove_files(Scope(root, b"/photos", b"6.jpg"))
            assert store.notes() == [("partly readable", 1), ("stretched", 1)]

    def test_failed_files_are_read_by_a_newer_reader(self) -> None:
        with self.filled() as (store, root, _):
            with store.transaction():
                store.put_file(FileRow(root, b"a.jpg", 100, 10**9, reason="not an image"))
                store.set_reader_version(root, 1)
                store.set_reader_version(root, 3)
            for reader, expected in ((3, (0, 1)), (4, (1, 0))):
                store.begin_scan()
                store.see([FileRow(root, b"a.jpg", 100, 10**9)])
                planned = store.plan_reading(
                    MODEL.fingerprint, retry_failed=False, rehash=False, reader=reader
                )
                assert planned == expected

    def test_exclusions_keep_their_order(self) -> None:
        with self.writing() as store:
            rules = [Exclusion(b"", b"z*", "exclude"), Exclusion(b"/a", b"!/zoo", "exclude"),
                     Exclusion(b"", b"/a/b.jpg", "forget")]  # fmt: skip
            with store.transaction():
                store.add_exclusions([*rules, rules[0]])
            assert store.exclusions() == rules
            with store.transaction():
                assert store.remove_exclusions([rules[1], Exclusion(b"", b"y", "exclude")]) == 1
            assert store.exclusions() == [rules[0], rules[2]]

    def test_a_root_moves_with_its_files(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                inner = store.add_root(b"/pictures/italy")
                add(store, inner, b"x.jpg", content(9))
                store.put_file(FileRow(inner, b"b.jpg", 1, 1, ids[1]))
                store.move_root(root, b"/pictures")
            assert store.roots() == {root: b"/pictures"}
            assert store.contents([ids[0]])[ids[0]].paths == (b"/pictures/a.jpg",)
            assert sorted(store.paths_in(root)) == [
                b"a.jpg", b"italy/b.jpg", b"italy/rome/c.jpg", b"italy/x.jpg"
            ]  # fmt: skip
            assert store.counts() == (4, 4, 0)
            assert store.copied() == []
            assert [row.path for row in store.sample_files(root, 10)][:1] == [b"a.jpg"]
            assert 1 <= len(store.sample_files(root, 2)) <= 2
            with store.transaction():
                rules = [Exclusion(b"", b"y", "exclude")]
                store.add_exclusions([Exclusion(b"", b"x", "exclude")])
                store.set_exclusions(rules)
            assert store.exclusions() == rules

    def test_mounts_and_other_files_move_with_their_root(self) -> None:
        with self.writing() as store:
            with store.transaction():
                inner = store.add_root(b"/photos/2024")
                store.set_mounts(Scope(inner, b"/photos/2024"), {b"": "mount", b"usb": "link"})
                store.put_other_files([FileRow(inner, b"notes.txt", 5, 6)])
                outer = store.add_root(b"/photos")
            assert store.roots() == {outer: b"/photos"}
            assert store.mounts(Scope(outer, b"/photos")) == {
                b"2024": "mount", b"2024/usb": "link"
            }  # fmt: skip
            assert store.mounts(Scope(outer, b"/photos", b"2024/usb")) == {b"2024/usb": "link"}
            assert store.is_other_file(outer, b"2024/notes.txt", 5, 6)
            assert not store.is_other_file(outer, b"2024/notes.txt", 5, 7)

    def test_conditions_agree_with_brute_force(self) -> None:
        with self.writing() as store:
            with store.transaction():
                store.activate(MODEL)
                root = store.add_root(b"/photos")
                rows = {}
                for seed in range(1, 25):
                    captured = None if seed % 3 == 0 else seed * DAY
                    offset = 120 if seed % 2 else None
                    path = b"%d/%d.jpg" % (seed % 4, seed)
                    number = add(store, root, path, content(seed, captured=captured, offset=offset),
                                 changed=seed * DAY * 10**9)  # fmt: skip
                    rows[number] = (seed, captured, offset, path)
            scopes = [Scope(root, b"/photos", b"%d" % folder) for folder in (1, 2)]
            since, until = Moment(5 * DAY, 5 * DAY, False), Moment(20 * DAY, 20 * DAY, True)

            def passes(seed: int, captured: int | None, offset: int | None, path: bytes) -> bool:
                wall = seed * DAY if captured is None else captured
                instant = wall - 60 * offset if captured is not None and offset else wall
                return path[:1] in b"12" and wall >= since.wall and instant < until.instant

            conditions = FileConditions(scopes, since, until)
            expected = {number for number, row in rows.items() if passes(*row)}
            assert expected
            assert set(store.contents_meeting(conditions)) == expected
            assert {found[0] for found in store.files_meeting(conditions)} == expected
            many = [Scope(root, b"/photos", b"x%d" % extra) for extra in range(1200)]
            crowded = FileConditions([*scopes, *many], since, until)
            assert set(store.contents_meeting(crowded)) == expected
            assert store.holds_images(scopes[0])
            assert not store.holds_images(many[0])

    def test_words_of_paths(self) -> None:
        def found(*words: Words) -> set[bytes]:
            conditions = FileConditions(words=words)
            assert {row[0] for row in store.files_meeting(conditions)} == set(
                store.contents_meeting(conditions)
            )
            return {row[2] for row in store.files_meeting(conditions)}

        names = [
            "IMG_2034.jpg", "Città/img-20345.JPG", "Reisen/Zürich 2019/Étang du soir.png",
            "Reisen/Zürich 2019/boat.jpg", "2019/東京塔.jpg", 'odd/"quoted" * OR.jpg',
        ]  # fmt: skip
        with self.writing() as store:
            with store.transaction():
                store.activate(MODEL)
                root = store.add_root(b"/albums/Reisen")
                for seed, name in enumerate(names, start=1):
                    add(store, root, name.encode(), content(seed))
                add(store, root, b"bad \xff name.jpg", content(9))
            paths = [name.encode() for name in names]
            assert store.knows_words
            assert found(Words("img 2034", "name")) == {paths[0], paths[1]}
            assert found(Words("IMG_2034", "name", whole=True)) == {paths[0]}
            assert found(Words("2034 img", "name")) == set()
            assert found(Words("etang", "name")) == {paths[2]}
            assert found(Words("SOI", "name")) == {paths[2]}
            assert found(Words("citta", "folder")) == {paths[1]}
            assert found(Words("zurich/2019", "folder")) == {paths[2], paths[3]}
            assert found(Words("2019", "folder")) == {paths[2], paths[3], paths[4]}
            assert found(Words("boat", "folder")) == set()
            assert found(Words("東京", "name")) == {paths[4]}
            assert found(Words('"quoted" * OR', "name")) == {paths[5]}
            assert found(Words("bad", "name")) == {b"bad \xff name.jpg"}
            assert len(found(Words("reis", "folder"))) == len(names) + 1  # the root's own name
            assert found(Words("albums", "folder")) == set()
            for nothing in ("", "*", '" "', "\0", '" NOT "', "-"):
                assert found(Words(nothing, "name")) == set()
            for words in (Words("2034", "name"), Words("zurich", "folder"), Words("zzz", "name")):
                named = store.contents_named(words, 100)
                conditions = FileConditions(words=[words])
                assert named.tolist() == sorted(set(store.contents_meeting(conditions)))
            assert len(store.contents_named(Words("2019", "folder"), 2)) == 2
            both = Words("zurich", "folder"), Words("boat", "name")
            assert found(*both) == {paths[3]}

            # They follow their files.
            with store.transaction():
                outer = store.add_root(b"/albums")
                store.put_file(FileRow(outer, b"Reisen/new.jpg", 1, 1, None, "broken"))
            assert found(Words("reisen zurich", "folder")) == {
                b"Reisen/" + paths[2], b"Reisen/" + paths[3]
            }  # fmt: skip
            with store.transaction():
                store.remove_files(Scope(outer, b"/albums", b"Reisen/Reisen"))
            assert found(Words("zurich", "folder")) == set()
            assert found(Words("img", "name")) == {b"Reisen/" + paths[0], b"Reisen/" + paths[1]}

    def test_cameras(self) -> None:
        canon, nameless = ("Canon EOS R6", "RF24-105mm F4 L IS USM"), ("", "")
        with self.writing() as store:
            with store.transaction():
                store.activate(MODEL)
                root = store.add_root(b"/photos")
                first = add(store, root, b"a.jpg", replace(content(1), camera=canon))
                second = add(store, root, b"b.jpg", replace(content(2), camera=canon))
                add(store, root, b"c.jpg", replace(content(3), camera=nameless))
                fourth = add(store, root, b"d.jpg", content(4))
                add(store, root, b"d.jpg", content(4))
            ((number, name),) = store.cameras()
            assert name == "Canon EOS R6 RF24-105mm F4 L IS USM"
            assert store.contents_by_camera([number]).tolist() == [first, second]
            assert store.contents_by_camera([]).tolist() == []
            images = dict(store.stored_images(MODEL.fingerprint))
            assert images[first].camera == canon
            assert images[fourth].camera is None
            with store.transaction():
                store.put_content(replace(content(4), camera=canon), MODEL.fingerprint, 9)
                store.put_content(content(2), MODEL.fingerprint, 9)  # which does not say
                store.remove_files(Scope(root, b"/photos", b"a.jpg"))
            assert store.contents_by_camera([number]).tolist() == [second, fourth]

    def test_newest_come_first(self) -> None:
        with self.writing() as store:
            with store.transaction():
                store.activate(MODEL)
                root = store.add_root(b"/photos")
                old = add(store, root, b"a.jpg", content(1, captured=DAY), changed=90 * DAY * 10**9)
                new = add(store, root, b"b.jpg", content(2, captured=3 * DAY))
                between = add(store, root, b"c.jpg", content(3), changed=2 * DAY * 10**9)
            assert store.newest_first().tolist() == [new, between, old]
            assert store.newest(1, 1) == [between]
            ids, seconds = store.dated()
            assert ids.tolist() == [new, between, old]
            assert seconds.tolist() == [3 * DAY, 2 * DAY, DAY]

    def test_the_order_follows_what_is_written(self) -> None:
        with self.filled() as (store, root, ids), self.reading() as reader:
            before = reader.newest_first().tolist()
            assert sorted(before) == ids
            state = reader.state()
            assert state == reader.state()
            assert state is not None
            with store.transaction():
                new = add(store, root, b"new.jpg", content(8, captured=900 * DAY))
                assert store.newest_first().tolist() == [new, *before]
                newest = add(store, root, b"newest.jpg", content(9, captured=901 * DAY))
                assert store.newest_first().tolist() == [newest, new, *before]
                assert reader.newest_first().tolist() == before
            assert reader.newest_first().tolist() == [newest, new, *before]
            assert reader.state() != state
            assert reader.newest(2, 1) == [new, before[0]]
            with store.transaction():
                store.remove_files(Scope(root, b"/photos", b"newest.jpg"))
                assert store.newest(1, 0) == [new]
            assert reader.newest(1, 0) == [new]
            assert reader.dated()[1][0] == 900 * DAY

    def test_future_dates_are_not_believed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        future = 4_000_000_000  # 2096
        with self.writing() as store, store.transaction():
            store.activate(MODEL)
            root = store.add_root(b"/photos")
            wrong = add(store, root, b"a.jpg", content(1, captured=future), changed=10 * 10**9)
            right = add(store, root, b"b.jpg", content(2, captured=1000), changed=0)

        def since(wall: int) -> list[int]:
            moment = Moment(wall, wall, False)
            return sorted(store.contents_meeting(FileConditions(since=moment)))

        with self.reading() as store:
            assert store.newest(2, 0) == store.newest_first().tolist() == [right, wrong]
            assert since(1) == [wrong, right]
            assert since(100) == [right]
            # This machine's clock was wrong, and is mended: nothing is indexed again.
            monkeypatch.setattr("time.time", lambda: float(future))
            assert store.newest(2, 0) == store.newest_first().tolist() == [wrong, right]
            assert since(5000) == [wrong]

    def test_labels_are_kept_by_origin(self) -> None:
        with self.filled() as (store, _, ids):
            with store.transaction():
                given = [
                    SavedLabel(ids[0], "dog", 1.0, "user"),
                    SavedLabel(ids[1], "dog", 0.4, "head:pets"),
                    SavedLabel(ids[1], "cat", 0.6, "head:pets"),
                ]
                assert store.save_labels(given) == 3
            assert store.contents_with_label("dog", 0.3).tolist() == ids[:2]
            assert store.contents_with_label("dog", 0.5).tolist() == ids[:1]
            assert store.saved_labels(minimum=0.5) == [given[0], given[2]]
            assert store.label_counts() == [
                ("cat", "head:pets", 1), ("dog", "head:pets", 1), ("dog", "user", 1)
            ]  # fmt: skip
            with store.transaction():
                assert store.remove_labels_of("head:pets") == 2
                assert store.remove_label("dog", [ids[1]]) == 0
                assert store.remove_label("dog") == 1
            assert store.saved_labels() == []

    def test_tags_are_the_labels_of_the_user(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                own = [(ids[0], "dog"), (ids[1], "Dog"), (ids[1], "dog"), (ids[2], "hidden")]
                given = [SavedLabel(number, label, 1.0, "user") for number, label in own]
                given.append(SavedLabel(ids[2], "dog", 1.0, "head:pets"))
                store.save_labels(given)
            assert store.own_labels(ids) == own
            assert store.own_labels([ids[1], 99]) == own[1:3]
            assert store.own_labels([]) == []
            assert store.own_label_counts() == [("Dog", 1), ("dog", 2), ("hidden", 1)]
            assert store.contents_with_own_label("dog").tolist() == ids[:2]
            assert store.contents_with_own_label("cat").tolist() == []
            with store.transaction():
                # Neither what a head said goes, nor what is not there.
                assert store.remove_tags([("dog", ids[1]), ("dog", ids[2]), ("cat", ids[0])]) == 1
                store.remove_files(Scope(root, b"/photos", b"a.jpg"))
            assert store.own_labels(ids) == [own[0], own[1], own[3]]
            assert store.label_counts() == [
                ("Dog", "user", 1), ("dog", "head:pets", 1), ("hidden", "user", 1)
            ]  # fmt: skip
            # An image without a file is kept in mind, and found by nobody.
            assert store.own_label_counts() == [("Dog", 1), ("hidden", 1)]
            assert store.contents_with_own_label("dog").tolist() == []

    def test_thumbnails_of_larger_images_come_first(self) -> None:
        with self.filled() as (store, _, ids):
            numbers, thumbnails = store.gray_thumbnails()
            assert numbers.tolist() == ids[::-1]
            assert thumbnails.shape == (3, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
            assert thumbnails[0, 0, 0] == 3
            assert store.gray_thumbnails([ids[0]])[0].tolist() == ids[:1]
            assert store.count_without_thumbnail() == 0

    def test_vector_files_replace_older_ones(self) -> None:
        with self.filled() as (store, _, _):
            for generation in (1, 2):
                with store.transaction():
                    store.publish_vector_file(MODEL.fingerprint, VectorFile(generation, 3, 99))
            assert store.vector_files(MODEL.fingerprint) == [VectorFile(2, 3, 99)]
            assert store.vector_files(OTHER.fingerprint) == []

    def test_hashes_come_by_id(self) -> None:
        with self.filled() as (store, _, ids):
            assert store.digests() == dict(zip(ids, (b"%016d" % n for n in (1, 2, 3)), strict=True))
            assert store.digests([ids[1], 99]) == {ids[1]: b"%016d" % 2}
            assert store.contents(ids)[ids[0]].digest == b"%016d" % 1

    def test_what_is_read_is_current(self) -> None:
        with self.filled() as (store, _, _):
            assert store.is_current
            assert not store.refresh()
            with self.reading() as reader:
                assert reader.is_current
                assert not reader.refresh()
                assert reader.counts() == store.counts()

    def test_checksums_of_a_vector_file_come_back(self) -> None:
        with self.filled() as (store, _, _):
            file = VectorFile(1, 3, 99, b"x" * 16)
            with store.transaction():
                store.publish_vector_file(MODEL.fingerprint, file)
            assert store.vector_files(MODEL.fingerprint) == [file]

    def test_codes_and_options_come_back(self) -> None:
        with self.filled() as (store, _, _):
            assert store.codes_file(MODEL.fingerprint) is None
            assert store.index_options() == IndexOptions("auto", 0.99)
            first = CodesFile(1, 3, 3, 99, b"x" * 16, 8, 30, 0.991, 1.0)
            for file in (first, replace(first, generation=2)):
                with store.transaction():
                    store.publish_codes_file(MODEL.fingerprint, file)
                    store.set_index_options(IndexOptions("approximate", 0.995))
                assert store.codes_file(MODEL.fingerprint) == file
            assert store.codes_file(OTHER.fingerprint) is None
            assert store.index_options() == IndexOptions("approximate", 0.995)
            own = store.own_index(MODEL.fingerprint)  # of three vectors, every one is scored
            assert own is None or own == OwnIndex("flat", 1.0, 1.0)
            with store.transaction():
                store.publish_codes_file(MODEL.fingerprint, None)
            assert store.codes_file(MODEL.fingerprint) is None

    def test_images_and_files_are_handed_on_as_they_are(self) -> None:
        with self.filled() as (store, root, ids):
            with store.transaction():
                store.put_file(FileRow(root, b"bad.jpg", 7, 8, reason="not an image"))
            images = dict(store.stored_images(MODEL.fingerprint))
            assert images == {ids[seed - 1]: content(seed) for seed in (1, 2, 3)}
            assert dict(store.stored_images(OTHER.fingerprint)) == {}
            first, *_, last = store.stored_files()
            assert first == FileRow(root, b"a.jpg", 100, 10**9, ids[0])
            assert last == FileRow(root, b"bad.jpg", 7, 8, reason="not an image")

    def test_a_share_of_files_is_kept(self) -> None:
        with self.filled() as (store, _, _):
            assert store.shard() is None
            with store.transaction():
                store.set_shard(Shard(3, 8))
            assert store.shard() == Shard(3, 8)
        paths = [b"%d.jpg" % number for number in range(200)]
        shares = [[path for path in paths if Shard(n, 4).holds(path)] for n in (1, 2, 3, 4)]
        assert sorted(path for share in shares for path in share) == sorted(paths)
        assert min(map(len, shares)) > 30
