"""Decodes in child processes, which a hostile file may crash, hang or fill up.

The children are warm: one decodes many files. There are as many as threads that decode at one time,
and none before the first file that needs one. A child that has read a file is not trusted: what it
answers is checked here, and never unpickled. It ends with this process, however this ends.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image

from indexer.devices.cpu_count import available_cores
from indexer.errors import ImageError, ImageFormatUnknown, ImageTooLarge
from indexer.images.decoded import Claim, Decoded, Limits, Prepared
from indexer.images.formats import kind_of
from indexer.images.metadata.camera import Camera
from indexer.images.metadata.capture_time import CaptureTime
from indexer.images.metadata.lines import MAX_LENGTH
from indexer.images.preprocess import Preprocess
from indexer.store.tables.contents import THUMBNAIL_SIDE

from .child import Child, Died, numbers
from .frames import Bytes, FrameError

T = TypeVar("T")

# How often the seconds of all busy children are counted.
TICK = 1.0
# Files that one child decodes. What decoders leak, of damaged files above all, ends with it: of
# mutated images a child grew by 80 MB in 100 minutes. Starting one takes a fraction of a second.
MAX_FILES = 500
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

        def parse(said: dict[str, Any], found: Bytes) -> Decoded:
            width, height = numbers(said.get("size"), 2, MAX_SIDE)
            if not width or not height or len(found) != 3 * width * height:
                raise FrameError("not as large as it says")
            image = Image.frombytes("RGB", (width, height), found.data)
            return Decoded(image, *_about(said))

        return self._ask(_Question(request, data, name, claim, None, parse))

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

        def parse(said: dict[str, Any], found: Bytes) -> Prepared:
            if len(found) != size + gray:
                raise FrameError("not as large as it was asked for")
            pixels = found[:size].reshape(shape)
            return Prepared(pixels, found[size:].tobytes(), *_about(said))

        return self._ask(_Question(request, data, name, claim, size + gray, parse))

    def _ask(self, question: "_Question[T]") -> T:
        """Ask a child, then a fresh one if it dies or lacks memory: earlier files may be why."""
        child = self._take()
        fresh = not child.files
        try:
            try:
                return self._ask_one(child, question)
            except _NoMemory:
                if fresh:
                    raise
            except Died as died:
                if not died.again:
                    raise
            return self._ask_one(self._start(), question)
        except _NoMemory as exc:
            raise ImageError(OUT_OF_MEMORY) from exc
        except Died as died:
            raise ImageError(f"its {question.kind} decoder {died}") from died
        except FrameError as exc:
            raise ImageError(f"its {question.kind} decoder gave no sensible answer") from exc

    def _ask_one(self, child: Child, question: "_Question[T]") -> T:
        with self._lock:
            self._busy.add(child)
            self._begin_watch()
            self._change.notify()
        whole = False
        try:
            said, found = child.ask(
                question.request, question.data, question.claim, question.max_bytes
            )
            if "memory" in said:
                raise _NoMemory
            for kind, error in ERRORS.items():
                if kind in said:
                    text = _text(said[kind])
                    whole = True
                    raise error(text)
            answer = question.parse(said, found)
            whole = True
            return answer
        finally:
            with self._lock:
                self._busy.discard(child)
                worn = child.files >= MAX_FILES
                keep = whole and not child.late and not worn and len(self._idle) < available_cores()
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


class _NoMemory(Exception):
    """A child could not have the memory that a decoder wanted."""


@dataclass(frozen=True)
class _Question(Generic[T]):
    """What a child is asked, and how its answer is read.

    Attributes:
        request: Says how to decode.
        data: The bytes of the file.
        name: Its name.
        claim: Is called with the memory that decoding takes.
        max_bytes: The most bytes that may come back; None: as many as are claimed.
        parse: Checks the answer and its bytes; raises FrameError.
    """

    request: dict[str, Any]
    data: bytes
    name: bytes
    claim: Claim
    max_bytes: int | None
    parse: Callable[[dict[str, Any], Bytes], T]

    @property
    def kind(self) -> str:
        """The file's format, for an error."""
        return kind_of(self.data, self.name)


def _request(limits: Limits, name: bytes) -> dict[str, Any]:
    return {"max_pixels": limits.max_pixels, "name": name[-1000:].decode("latin-1")}


def _about(
    said: dict[str, Any],
) -> tuple[int, int, str, CaptureTime | None, Camera, tuple[str, ...]]:
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
    camera = said.get("camera")
    if not isinstance(camera, list) or len(camera) != 2:
        raise FrameError("a camera")
    body, lens = (_text(name)[:MAX_LENGTH] for name in camera)
    about = width, height, _text(said.get("format"))
    return *about, taken, Camera(body, lens), tuple(_text(note) for note in notes)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise FrameError("a text")
    return value.encode("utf-8", "replace").decode()  # no lone surrogates


POOL = Pool()
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
