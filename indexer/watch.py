"""Keeps a collection up to date while it runs: changes on disk are indexed as they come.

The system says which paths have changed, and only these are looked at; where it may have lost some,
and once an hour, whole folders are. Whatever happened while nobody watched is found by the first
run. Network drives say nothing of what other machines do, and are looked at again and again.

Source of the system's messages: watchfiles (Rust's notify).
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import watchfiles

from indexer.pipeline.writer import BuildReport, Skipped
from indexer.store.collection import NETWORK_FILESYSTEMS, Collection, filesystem_of, locate
from indexer.store.paths import is_remote
from indexer.store.records import inside

from .build_collection import build
from .errors import CollectionLocked, RootUnavailable, WatchError

# Changes are collected until nothing has happened for so long, and at most for so long.
QUIET_MS, COLLECT_MS = 200, 1600
# How often a thread that waits for changes looks whether it is to end.
LOOK_MS = 500
# More paths than this are not looked at one by one: the system may have lost some, too.
MAX_CHANGES = 5000
# Whole folders are looked at this often, whatever was said.
RESCAN_SECONDS = 3600.0
# Another writer is tried again after this.
LOCKED_SECONDS = 1.0


def watch(
    paths: Sequence[Path | str],
    *,
    collection: Collection | Path | str | None = None,
    poll: bool = False,
    stop: threading.Event | None = None,
    on_run: Callable[[BuildReport], None] = lambda report: None,
    on_skip: Callable[[Skipped], None] | None = None,
    on_note: Callable[[str], None] = lambda line: None,
) -> None:
    """Index folders, and then what changes in them, until told to stop.

    Args:
        paths: The folders.
        collection: The collection; found as `locate` does when None.
        poll: Whether to look at the folders again and again rather than to wait for the system's
            messages; network drives always are.
        stop: Ends it when it is set.
        on_run: Called after each run that found something to do, and after the first.
        on_skip: Called for each file that cannot be indexed.
        on_note: Called with a line of text on what is going on.

    Raises:
        WatchError: A folder cannot be watched.
        RootUnavailable: A folder is missing at the start.
        CollectionError: The collection cannot be written.
        ModelError: Its model cannot be used.
    """
    target = collection if isinstance(collection, Collection) else locate(collection)
    folders = [_folder(path) for path in paths]
    ending = stop or threading.Event()
    listener = _Listener(folders, target.folder, ending, poll or any(map(_is_network, folders)))
    runs = _Runs(folders, target, on_run, on_skip, on_note)
    try:
        listener.start()
        runs.whole(first=True)
        while not ending.is_set():
            changed = listener.changed(runs.seconds_to_whole)
            if changed is None:
                continue
            if not changed or len(changed) > MAX_CHANGES:
                runs.whole()
            else:
                runs.some(changed)
    finally:
        ending.set()


def _folder(path: Path | str) -> Path:
    if is_remote(path):
        raise WatchError(f"{path} cannot be watched: index it from time to time instead")
    try:
        folder = Path(path).resolve(strict=True)
    except (OSError, RuntimeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise RootUnavailable(f"{path} is not there ({reason}): give a folder of images") from exc
    if not folder.is_dir():
        raise WatchError(f"{path} is not a folder: only folders are watched")
    return folder


def _is_network(folder: Path) -> bool:
    return filesystem_of(folder) in NETWORK_FILESYSTEMS


class _Listener:
    """Hears what changes below folders, in a thread of its own."""

    def __init__(
        self, folders: Sequence[Path], own: Path, stop: threading.Event, poll: bool
    ) -> None:
        self._folders, self._stop, self._poll = folders, stop, poll
        self._own = os.path.join(os.path.realpath(own), "")
        self._heard: SimpleQueue[set[str] | Exception] = SimpleQueue()
        self._ready = threading.Event()

    def start(self) -> None:
        """Return once nothing that changes from now on is missed.

        Raises:
            WatchError: A folder cannot be watched.
        """
        threading.Thread(target=self._listen, name="watch folders", daemon=True).start()
        self._ready.wait()
        with suppress(Empty):
            first = self._heard.get_nowait()
            if isinstance(first, Exception):
                raise _error(first) from first
            self._heard.put(first)

    def changed(self, seconds: float) -> set[str] | None:
        """Wait for changes.

        Args:
            seconds: How long.

        Returns:
            The paths; an empty set when the time is over, None to ask again.

        Raises:
            WatchError: A folder cannot be watched any more.
        """
        if seconds <= 0:
            return set()
        try:
            heard = self._heard.get(timeout=min(seconds, LOOK_MS / 1000))
        except Empty:
            return None
        changed: set[str] = set()
        while True:
            if isinstance(heard, Exception):
                raise _error(heard) from heard
            changed |= heard
            try:
                heard = self._heard.get_nowait()
            except Empty:
                return changed

    def _listen(self) -> None:
        try:
            for changes in watchfiles.watch(
                *self._folders,
                watch_filter=self._concerns,
                debounce=COLLECT_MS,
                step=QUIET_MS,
                stop_event=self._stop,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
                force_polling=self._poll,
                raise_interrupt=False,
            ):
                if changes:
                    self._heard.put({path for _, path in changes})
                self._ready.set()
        except Exception as exc:  # raised again where somebody waits for changes
            self._heard.put(exc)
        finally:
            self._ready.set()

    def _concerns(self, _: watchfiles.Change, path: str) -> bool:
        return not os.path.join(path, "").startswith(self._own)


def _error(exc: Exception) -> WatchError:
    return WatchError(
        f"the folders cannot be watched ({exc}): --poll looks at them again and again instead"
    )


class _Runs:
    """Index runs of watched folders, over whole folders or what has changed in them."""

    def __init__(
        self,
        folders: Sequence[Path],
        collection: Collection,
        on_run: Callable[[BuildReport], None],
        on_skip: Callable[[Skipped], None] | None,
        on_note: Callable[[str], None],
    ) -> None:
        self._folders, self._collection = folders, collection
        self._on_run, self._on_skip, self._on_note = on_run, on_skip, on_note
        self._last_whole = 0.0

    @property
    def seconds_to_whole(self) -> float:
        """How long until whole folders are looked at again."""
        return self._last_whole + RESCAN_SECONDS - time.monotonic()

    def whole(self, *, first: bool = False) -> None:
        """Look at whole folders; one that has gone is said, and expected back."""
        try:
            self._build((), always=first)
        except RootUnavailable as exc:
            if first:
                raise
            self._on_note(f"{exc}")
        self._last_whole = time.monotonic()

    def some(self, changed: set[str]) -> None:
        """Look at what has changed."""
        try:
            self._build([Path(path) for path in there(changed, self._folders)])
        except RootUnavailable:
            # A folder that was emptied: whether it was, or is away, its root says.
            self.whole()

    def _build(self, changed: Sequence[Path], *, always: bool = False) -> None:
        waits = False
        while True:
            try:
                report = build(
                    self._folders,
                    collection=self._collection,
                    changed=changed,
                    on_skip=self._on_skip,
                    on_note=self._on_note,
                )
                break
            except CollectionLocked as exc:
                if not waits:
                    self._on_note(f"{exc}; waiting")
                waits = True
                time.sleep(LOCKED_SECONDS)
        done = report.indexed, report.reused, report.removed, report.failed
        if always or any(done):
            self._on_run(report)


def there(changed: set[str], folders: Sequence[Path]) -> list[str]:
    """Return what has to be looked at for paths that have changed, none of it twice.

    That is the path itself, or the nearest folder above that is still there, in the watched one. A
    link stands for its folder: where it leads, nobody watches.
    """
    found = set()
    for path in changed:
        here = os.fsencode(path)
        root = next((str(one) for one in folders if inside(bytes(one), here) is not None), None)
        if root is None:
            continue
        while path != root and (os.path.islink(path) or not os.path.exists(path)):
            path = os.path.dirname(path)
        found.add(path)
    return sorted(path for path in found if not _is_within(path, found))


def _is_within(path: str, folders: set[str]) -> bool:
    """Return whether a path lies in one of these folders, and is none of them itself."""
    while (parent := os.path.dirname(path)) != path:
        path = parent
        if path in folders:
            return True
    return False
