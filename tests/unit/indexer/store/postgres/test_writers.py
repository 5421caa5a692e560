"""Several writers of one shared collection at once, and connections that are lost."""

import itertools
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import CollectionLocked, CollectionStorageError
from indexer.store.postgres.address import Address
from indexer.store.postgres.store import PostgresStore
from indexer.store.records import Scope
from indexer.store.rows import FileRow
from support.postgres import Server
from support.store_contract import MODEL, add, content

numbers = itertools.count()
PHOTOS = Path("/photos")


@pytest.fixture(scope="module")
def url(postgres: Server) -> str:
    return postgres.database("writers")


@pytest.fixture
def address(url: str) -> Address:
    return Address.parse(f"{url}?schema=writers{next(numbers)}")


def begin(store: PostgresStore, folder: bytes = b"/photos") -> int:
    with store.transaction():
        store.activate(MODEL)
        return store.add_root(folder)


def test_same_images_are_entered_once(address: Address) -> None:
    with closing(PostgresStore.write(address)) as store:
        root = begin(store)
    failed: list[BaseException] = []

    def write(order: list[int]) -> None:
        try:
            with closing(PostgresStore.write(address)) as store:
                for start in range(0, len(order), 5):
                    with store.transaction():
                        for seed in order[start : start + 5]:
                            add(store, root, b"%d.jpg" % seed, content(seed))
        except BaseException as exc:
            failed.append(exc)

    order = list(range(1, 61))
    threads = [
        threading.Thread(target=write, args=(one,)) for one in (order, order[::-1], order[30:])
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert failed == []
    with closing(PostgresStore.read(address)) as store:
        assert store.counts() == (60, 60, 0)
        assert store.copied() == []
        assert store.count_embeddings(MODEL.fingerprint) == 60
        assert store.generation() == sum(len(one) for one in (order, order, order[30:]))


def test_collection_is_made_by_several_at_once(postgres: Server) -> None:
    failed: list[BaseException] = []
    for number in range(3):
        url = postgres.database("several", extension=False)
        address = Address.parse(f"{url}?schema=several{number}")
        begun = threading.Barrier(4)

        def make(address: Address = address, begun: threading.Barrier = begun) -> None:
            try:
                begun.wait(10)
                with closing(PostgresStore.write(address)) as store:
                    begin(store)
            except BaseException as exc:
                failed.append(exc)

        threads = [threading.Thread(target=make) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
        assert failed == []
        with closing(PostgresStore.read(address)) as store:
            assert list(store.roots().values()) == [b"/photos"]


def test_pool_says_at_once_that_the_server_is_away(postgres: Server, address: Address) -> None:
    with closing(PostgresStore.write(address)) as writer:
        begin(writer)
    with closing(PostgresStore.read(address, pooled=2)) as reader:
        assert reader.counts() == (0, 0, 0)
        postgres.kill()
        began = time.monotonic()
        with pytest.raises(CollectionStorageError, match=r"cannot be reached|was lost"):
            reader.counts()
        assert time.monotonic() - began < 5
        postgres.start()
        assert reader.counts() == (0, 0, 0)


def test_generations_come_in_the_order_of_their_commits(address: Address) -> None:
    with closing(PostgresStore.write(address)) as first, closing(
        PostgresStore.write(address)
    ) as second, closing(PostgresStore.read(address)) as reader:  # fmt: skip
        root = begin(first)
        entered = threading.Event()

        def write() -> None:
            with second.transaction():
                add(second, root, b"late.jpg", content(2))
                entered.set()

        with first.transaction():
            add(first, root, b"early.jpg", content(1))
            thread = threading.Thread(target=write)
            thread.start()
            assert not entered.wait(0.3)
            assert reader.generation() == 0
        thread.join(10)
        assert entered.is_set()
        seen = [ids.tolist() for ids, _ in reader.halves(MODEL.fingerprint, chunk=1)]
        assert seen == sorted(seen)
        assert len(seen) == 2


def test_vectors_are_read_in_pages(address: Address) -> None:
    with closing(PostgresStore.write(address)) as store:
        root = begin(store)
        for start in (1, 8, 9):
            with store.transaction():
                generation = store.next_generation()
                for seed in range(start, start + 7 if start == 1 else start + 1):
                    number = store.put_content(content(seed), MODEL.fingerprint, generation)
                    store.put_file(FileRow(root, b"%d" % seed, 1, 1, number))
        for since, expected in ((0, 9), (1, 2), (3, 0)):
            for chunk in (1, 2, 3, 100):
                parts = list(store.halves(MODEL.fingerprint, since=since, chunk=chunk))
                found = [number for ids, _ in parts for number in ids.tolist()]
                assert len(found) == len(set(found)) == expected


def test_files_that_another_writer_entered_are_not_vanished(address: Address) -> None:
    with closing(PostgresStore.write(address)) as first, closing(
        PostgresStore.write(address)
    ) as second:  # fmt: skip
        root = begin(first)
        with first.transaction():
            for seed, name in enumerate((b"stays.jpg", b"gone.jpg", b"again.jpg"), start=1):
                add(first, root, name, content(seed))
        first.begin_scan()
        first.see([FileRow(root, b"stays.jpg", 100, 0)])
        with second.transaction():  # they came after the first one had looked
            add(second, root, b"new.jpg", content(4))
            add(second, root, b"again.jpg", content(5))
        with first.transaction():
            first.find_vanished([Scope(root, PHOTOS)])
            assert [path for _, path, _ in first.vanished()] == [b"gone.jpg"]
            assert first.remove_vanished() == 1
        assert sorted(first.paths_in(root)) == [b"again.jpg", b"new.jpg", b"stays.jpg"]


def test_root_of_a_running_scan_is_not_taken_away(address: Address) -> None:
    with closing(PostgresStore.write(address)) as first, closing(
        PostgresStore.write(address)
    ) as second:  # fmt: skip
        inner = begin(first, b"/photos/2024")
        first.hold_roots([inner])

        def take(what: str) -> None:
            with second.transaction():
                if what == "forget":
                    second.remove_files(Scope(inner, PHOTOS / "2024", b"a.jpg"))
                elif what == "move":
                    second.move_root(inner, b"/elsewhere")
                else:
                    second.add_root(b"/photos")

        for what in ("forget", "move", "take in"):
            with pytest.raises(CollectionLocked, match="reading /photos/2024 into postgresql://"):
                take(what)
        assert second.roots() == {inner: b"/photos/2024"}
        second.hold_roots([inner])  # several may scan it
        with first.transaction():
            add(first, inner, b"a.jpg", content(1))
        first.close()
        second.close()
        with closing(PostgresStore.write(address)) as third:
            with third.transaction():
                outer = third.add_root(b"/photos")
            assert list(third.paths_in(outer)) == [b"2024/a.jpg"]


def test_model_is_switched_at_once(address: Address) -> None:
    from support.store_contract import OTHER

    with closing(PostgresStore.write(address)) as store, closing(
        PostgresStore.read(address)
    ) as reader:  # fmt: skip
        begin(store)
        with store.transaction():
            store.activate(OTHER)
            assert reader.active_model() == MODEL
        assert reader.active_model() == OTHER
        with suppress(RuntimeError), store.transaction():
            store.activate(MODEL)
            raise RuntimeError
        assert reader.active_model() == OTHER


@pytest.mark.parametrize("pooled", [0, 2])
def test_reader_connects_again(postgres: Server, address: Address, pooled: int) -> None:
    with closing(PostgresStore.write(address)) as writer:
        root = begin(writer)
        with writer.transaction():
            add(writer, root, b"a.jpg", content(1))
        with closing(PostgresStore.read(address, pooled)) as reader:
            assert reader.image_count() == 1
            postgres.kill()
            postgres.start()
            assert reader.image_count() == 1
            numbers, vectors = next(reader.embeddings(MODEL.fingerprint))
            assert (len(numbers), vectors.shape) == (1, (1, MODEL.dim))
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
        with pytest.raises(CollectionStorageError, match="connection to postgresql://.* was lost"):
            writer.next_generation()


def test_half_of_a_transaction_is_not_there_after_a_crash(
    postgres: Server, address: Address
) -> None:
    store = PostgresStore.write(address)
    root = begin(store)
    with store.transaction():
        add(store, root, b"a.jpg", content(1))

    def crash() -> None:
        with store.transaction():
            add(store, root, b"b.jpg", content(2))
            postgres.kill()

    with pytest.raises(CollectionStorageError, match="was lost"):
        crash()
    postgres.start()
    with closing(PostgresStore.write(address)) as again:
        assert again.counts() == (1, 1, 0)
        with again.transaction():
            add(again, root, b"b.jpg", content(2))
        assert again.counts() == (2, 2, 0)
        assert again.count_embeddings(MODEL.fingerprint) == 2
