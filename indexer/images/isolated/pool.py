"""Decodes in child processes, which a hostile file may crash, hang or fill up.

The children are warm: one decodes many files. There are as many as threads that decode at one time,
and none before the first file that needs one. A child that has read a file is not trusted: what it
answers is checked here, and never unpickled. It ends with this process, however this ends.
"""

import atexit
import os
import threading
import time
from typing import Any

import numpy as np
from PIL import Image

from indexer.devices.cpu_count import available_cores
from indexer.errors import ImageError, ImageFormatUnknown, ImageTooLarge
from indexer.images.capture_time import CaptureTime
from indexer.images.decoded import Claim, Decoded, Limits, Prepared
from indexer.images.formats import kind_of
from indexer.images.preprocess import Preprocess
from indexer.store.tables.contents import THUMBNAIL_SIDE

from .child import Child, Died, numbers
from .frames import Bytes, FrameError

# How often the seconds of all busy children are counted.
TICK = 1.0
ERRORS = {"error": ImageError, "large": ImageTooLarge, "unknown": ImageFormatUnknown}
OUT_OF_MEMORY = "too large for this machine's memory"
# Bounds of what a child may answer.
MAX_TEXT, MAX_NOTES, MAX_SIDE, MAX_SECONDS, MAX_OFFSET = 4000, 16, 2**31, 2**40, 24 * 60
ENTRY = "from indexer.images.isolated.decoder_process import main; main({alive})"


class Pool:
    """The children of this process.

    Args:
        entry: The statement that each runs.
    """

    def __init__(self, entry: str = ENTRY) -> None:
        self._entry = entry
        self._idle: list[Child] = []
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[Child] = set()
        self._change = threading.Condition(self._lock)
        self._watch: threading.Thread | None = None

    def decode(
        self,
        data: bytes,
        limits: Limits,
        claim: Claim,
        *,
        at_least: tuple[int, int] | None = None,
        name: bytes = b"",
    ) -> Decoded:
        """Decode an image as `decode_here` does, in a child.

        Args:
            data: The bytes of the file.
            limits: Their `max_pixels` applies.
            claim: Is called with the memory that decoding takes.
            at_least: (height, width) that the caller will resize to.
            name: The file's name.

        Raises:
            ImageError: The image cannot be decoded, or has ended its child; the text is why.
        """
        request = _request(limits, name) | {"at_least": at_least, "preprocess": None}
        said, found = self._ask(request, data, claim, None, name)
        with _Checked(data, name):
            width, height = numbers(said.get("size"), 2, MAX_SIDE)
            if not width or not height or len(found) != 3 * width * height:
                raise FrameError("not as large as it says")
            image = Image.frombytes("RGB", (width, height), found.data)
            return Decoded(image, *_about(said))

    def prepare(
        self, data: bytes, limits: Limits, claim: Claim, preprocess: Preprocess, *, name: bytes
    ) -> Prepared:
        """Decode an image in a child, and prepare it for a model there: less has to come back.

        Args:
            data: The bytes of the file.
            limits: Their `max_pixels` applies.
            claim: Is called with the memory that decoding takes.
            preprocess: The model's settings.
            name: The file's name.

        Raises:
            ImageError: The image cannot be decoded, or has ended its child; the text is why.
        """
        request = _request(limits, name) | {"at_least": None, "preprocess": preprocess.to_json()}
        shape = (3, *preprocess.size)
        size, gray = int(np.prod(shape)), THUMBNAIL_SIDE**2
        said, found = self._ask(request, data, claim, size + gray, name)
        with _Checked(data, name):
            if len(found) != size + gray:
                raise FrameError("not as large as it was asked for")
            return Prepared(
                found[:size].reshape(shape).copy(), found[size:].tobytes(), *_about(said)
            )

    def _ask(
        self, request: dict[str, Any], data: bytes, claim: Claim, max_bytes: int | None, name: bytes
    ) -> tuple[dict[str, Any], Bytes]:
        with _Checked(data, name):
            said, found = self._ask_twice(request, data, claim, max_bytes, name)
            for kind, error in ERRORS.items():
                if kind in said:
                    raise error(_text(said[kind]))
            if "memory" in said:
                raise ImageError(OUT_OF_MEMORY)
            return said, found

    def _ask_twice(
        self, request: dict[str, Any], data: bytes, claim: Claim, max_bytes: int | None, name: bytes
    ) -> tuple[dict[str, Any], Bytes]:
        """Ask a child, then a fresh one if it dies or lacks memory: earlier files may be why."""
        child = self._take()
        fresh = child.fresh
        try:
            said, found = self._ask_one(child, request, data, claim, max_bytes)
            if fresh or "memory" not in said:
                return said, found
        except Died as died:
            if not died.again:
                raise ImageError(f"its {kind_of(data, name)} decoder {died}") from died
        try:
            return self._ask_one(self._start(), request, data, claim, max_bytes)
        except Died as died:
            raise ImageError(f"its {kind_of(data, name)} decoder {died}") from died

    def _ask_one(
        self,
        child: Child,
        request: dict[str, Any],
        data: bytes,
        claim: Claim,
        max_bytes: int | None,
    ) -> tuple[dict[str, Any], Bytes]:
        with self._lock:
            self._busy.add(child)
            self._begin_watch()
            self._change.notify()
        whole = False
        try:
            said, found = child.ask(request, data, claim, max_bytes)
            whole = "memory" not in said
            return said, found
        finally:
            with self._lock:
                self._busy.discard(child)
                keep = whole and not child.late and len(self._idle) < available_cores()
                if keep:
                    self._idle.append(child)
            if not keep:
                child.end()

    def _take(self) -> Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _start(self) -> Child:
        try:
            return Child(self._entry)
        except OSError as exc:
            raise ImageError(f"no process to decode it in: {exc.strerror or exc}") from exc

    def _begin_watch(self) -> None:
        if self._watch is None:
            self._watch = threading.Thread(target=self._count, name="decoders' time", daemon=True)
            self._watch.start()

    def _count(self) -> None:
        """End children whose file takes too long.

        Ticks are counted rather than the clock read, so that a command which was stopped (Ctrl-Z),
        or whose machine slept, finds that no time has passed.
        """
        while True:
            with self._lock:
                while not self._busy:
                    self._change.wait()
            time.sleep(TICK)
            with self._lock:
                for child in self._busy:
                    if child.left is not None:
                        child.left -= TICK
                        if child.left < 0:
                            child.stop()

    def close(self) -> None:
        """End the children that wait for files."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def forget(self) -> None:
        """Forget children that belong to the process from which this one was forked."""
        for child in self._idle:
            child.let_go()
        self._idle.clear()
        self._begin()


class _Checked:
    """Reports what a child must not have answered as a damaged file."""

    def __init__(self, data: bytes, name: bytes) -> None:
        self._data, self._name = data, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FrameError):
            raise ImageError(
                f"its {kind_of(self._data, self._name)} decoder gave no sensible answer"
            ) from error


def _request(limits: Limits, name: bytes) -> dict[str, Any]:
    return {"max_pixels": limits.max_pixels, "name": name[-1000:].decode("latin-1")}


def _about(said: dict[str, Any]) -> tuple[int, int, str, CaptureTime | None, tuple[str, ...]]:
    """Return the fields that `Decoded` and `Prepared` share, checked."""
    width, height = numbers([said.get("width"), said.get("height")], 2, MAX_SIDE)
    notes = said.get("notes")
    if not isinstance(notes, list) or len(notes) > MAX_NOTES:
        raise FrameError("notes")
    captured = said.get("captured")
    taken = None
    if captured is not None:
        if not isinstance(captured, list) or len(captured) != 2:
            raise FrameError("a time")
        seconds, offset = captured
        if type(seconds) is not int or abs(seconds) > MAX_SECONDS:
            raise FrameError("a time")
        if offset is not None and (type(offset) is not int or abs(offset) > MAX_OFFSET):
            raise FrameError("a time")
        taken = CaptureTime(seconds, offset)
    return width, height, _text(said.get("format")), taken, tuple(_text(note) for note in notes)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise FrameError("a text")
    return value.encode("utf-8", "replace").decode()  # no lone surrogates


POOL = Pool()
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
