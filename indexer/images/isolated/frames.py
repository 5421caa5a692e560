"""What a decoder's process and its parent say to each other: JSON objects, and raw bytes behind.

Nothing is pickled: a process that has read a hostile file is not to be trusted, so whatever it
says is parsed here and checked by who asked.
"""

import json
import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HEAD = struct.Struct(">4sIQ")
MARK = b"cdx1"
MAX_JSON = 2**16

Bytes = NDArray[np.uint8]


class Stream(Protocol):
    """An unbuffered file, of which only what is used is named."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of the bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read some bytes into the buffer."""


class FrameError(Exception):
    """The other side has said something that it must not."""


def send(stream: Stream, message: dict[str, Any], *parts: bytes | Bytes) -> None:
    """Write a message and the bytes that belong to it.

    Raises:
        OSError: The other side is gone.
    """
    text = json.dumps(message).encode()
    views = [memoryview(part) if isinstance(part, bytes) else part.data for part in parts]
    head = HEAD.pack(MARK, len(text), sum(view.nbytes for view in views))
    for view in (memoryview(head + text), *views):
        done = 0
        while done < view.nbytes:
            done += stream.write(view[done:]) or 0


def receive(stream: Stream, max_bytes: int) -> tuple[dict[str, Any], Bytes]:
    """Read a message and the bytes that belong to it.

    Args:
        stream: Where from.
        max_bytes: The most that may come behind the message.

    Raises:
        EOFError: The other side is gone.
        FrameError: This is not a message, or more than `max_bytes` come with it.
    """
    mark, length, size = HEAD.unpack(_exactly(stream, HEAD.size).tobytes())
    if mark != MARK or length > MAX_JSON or size > max_bytes:
        raise FrameError(f"{length} bytes of text and {size} of an image")
    try:
        message = json.loads(_exactly(stream, length).tobytes())
    except (ValueError, RecursionError) as exc:
        raise FrameError("not JSON") from exc
    if not isinstance(message, dict):
        raise FrameError("not an object")
    return message, _exactly(stream, size)


def _exactly(stream: Stream, size: int) -> Bytes:
    buffer = np.empty(size, np.uint8)
    view, done = buffer.data, 0
    while done < size:
        got = stream.readinto(view[done:])
        if not got:
            raise EOFError
        done += got
    return buffer
