"""The process that decodes what might crash it: one image after another, until its parent ends.

It imports neither torch nor ONNX Runtime nor FAISS, so that it is there in a tenth of a second.
Under Linux its memory is limited, before each decode, to what its parent has granted for it.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from indexer.errors import ImageError, ImageFormatUnknown, ImageTooLarge
from indexer.images.decode_here import decode_here
from indexer.images.decoded import Decoded, Limits, Prepared
from indexer.images.preprocess import Preprocess

from .frames import Bytes, FrameError, Stream, receive, send

# What its parent may send at most: far more than the largest file that anybody indexes.
MAX_FILE = 2**40
KINDS = {ImageError: "error", ImageTooLarge: "large", ImageFormatUnknown: "unknown"}
# Bytes that a decoder may take beside what was granted: its threads' stacks, and the estimate's
# fault. Before anything is granted, headers are read in as much.
SLACK = 512 * 2**20
STACK = 16 * 2**20
# Seconds after which a process that its parent has not ended ends itself.
GRACE = 10


def main(alive: int | None = None) -> None:
    """Serve requests from standard input, and answer on standard output.

    Args:
        alive: A pipe that is closed when the parent ends; None where there is none.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # What native libraries print must not get between the answers.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    if alive is not None:
        _end_with(alive)
    _dump_no_core()
    with suppress(EOFError, FrameError, OSError):  # the parent has gone
        while True:
            request, data = receive(source, MAX_FILE)
            _serve(request, data.tobytes(), source, answers)


def _serve(request: dict[str, Any], data: bytes, source: Stream, answers: Stream) -> None:
    parts: tuple[bytes | Bytes, ...] = ()

    def claim(width: int, height: int, size: int) -> None:
        _alarm(0)
        send(answers, {"claim": [width, height, size]})
        reply, _ = receive(source, 0)
        if "refused" in reply:
            raise ImageTooLarge(reply["refused"])
        _limit_memory(reply["size"])
        _alarm(reply["seconds"])

    try:
        _limit_memory(2 * len(data))
        _alarm(request["seconds"])
        said, parts = _decoded(request, data, claim)
    except MemoryError:
        said = {"memory": True}
    except ImageError as exc:
        if isinstance(exc.__cause__, MemoryError):
            said = {"memory": True}
        else:
            said = {KINDS[type(exc)]: str(exc)[:4000]}
    finally:
        _alarm(0)
        _limit_memory(None)
    send(answers, said, *parts)


def _decoded(
    request: dict[str, Any], data: bytes, claim: Any
) -> tuple[dict[str, Any], tuple[bytes | Bytes, ...]]:
    limits = Limits(max_pixels=request["max_pixels"])
    settings = request["preprocess"]
    preprocess = None if settings is None else Preprocess.from_json(settings)
    at_least = request["at_least"] if preprocess is None else preprocess.size
    decoded = decode_here(
        data,
        limits,
        claim,
        at_least=None if at_least is None else tuple(at_least),
        name=request["name"].encode("latin-1"),
    )
    if preprocess is None:
        image = decoded.image
        return _said(decoded) | {"size": image.size}, (image.tobytes(),)
    prepared = Prepared.of(decoded, preprocess)
    return _said(prepared), (prepared.pixels.ravel(), prepared.thumbnail)


def _said(found: Decoded | Prepared) -> dict[str, Any]:
    captured = found.captured
    return {
        "width": found.width,
        "height": found.height,
        "format": found.format,
        "captured": None if captured is None else [captured.seconds, captured.offset],
        "camera": [found.camera.body, found.camera.lens],
        "notes": list(found.notes),
    }


def _alarm(seconds: int) -> None:
    """End this process in some seconds, whatever it is doing; 0: or rather not."""
    alarm = getattr(signal, "alarm", None)  # not on Windows
    if alarm is not None:
        alarm(seconds + GRACE if seconds else 0)


def _end_with(alive: int) -> None:
    """End this process when this pipe is closed, even amid a decoder that never returns."""

    def wait() -> None:
        with suppress(OSError):
            os.read(alive, 1)
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()
    if sys.platform == "linux":
        import fcntl

        # The thread needs the interpreter, which a decoder may hold; SIGIO does not.
        fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)


def _dump_no_core() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_memory(size: int | None) -> None:
    """Limit what this process may take beside what it has now; None: or rather not."""
    if sys.platform != "linux":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = hard
    if size is not None:
        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[5]) * resource.getpagesize()
        soft = now + size + SLACK + STACK * (os.cpu_count() or 1)
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
