"""One child process that decodes, as its parent sees it."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from indexer.errors import ImageTooLarge
from indexer.images.decoded import Claim

from .frames import Bytes, FrameError, receive, send

# Seconds that a file may take, and how many more for each megapixel. The slowest decoder, of JPEG
# 2000, takes 0.25 a megapixel: a machine that is 16 times slower or busier is waited for.
SECONDS, SECONDS_A_MEGAPIXEL = 60, 4
# Seconds that a process which has closed its pipe is given to end.
ENDING = 5.0
# Bytes that a pipe holds, under Linux: more than what a model needs of an image.
PIPE = 2**20
# NumPy's threads would only take memory. glibc keeps this much of what it has for the next image,
# which saves a few percent of decoding one of 12 megapixels; other systems ignore it.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
}


class Died(Exception):
    """A child has ended amid a file; the text says how, after "its decoder"."""

    def __init__(self, how: str, *, again: bool) -> None:
        super().__init__(how)
        self.again = again


class Child:
    """One process that decodes, used by one thread at a time.

    Args:
        entry: The statement that it runs, which may name the pipe `{alive}`.
    """

    def __init__(self, entry: str) -> None:
        self.files = 0
        self.late = False
        # Seconds left for the file; None while none is decoded.
        self.left: float | None = None
        read: int | None = None
        self._alive: int | None = None
        if os.name == "posix":
            read, self._alive = os.pipe()
        serve = entry.replace("{alive}", str(read))
        code = f"import sys; sys.path[:] = {_search_path()!r}; {serve}"
        # A group of its own: Ctrl-C is left to the parent.
        options: dict[str, Any] = {
            "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        }
        if os.name == "posix":
            options = {"pass_fds": (read,), "process_group": 0}
        try:
            # -P: what lies in the current folder is not to be imported.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env={**ENVIRONMENT, **os.environ},
                **options,
            )
        except BaseException:
            if self._alive is not None:
                os.close(self._alive)
            raise
        finally:
            if read is not None:
                os.close(read)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to: Any = self._process.stdin
        self._from: Any = self._process.stdout
        _widen(self._to)
        _widen(self._from)

    @property
    def pid(self) -> int:
        """Its process's id."""
        return self._process.pid

    def ask(
        self, request: dict[str, Any], data: bytes, claim: Claim, max_bytes: int | None
    ) -> tuple[dict[str, Any], Bytes]:
        """Have a file decoded.

        Args:
            request: How.
            data: The bytes of the file.
            claim: Claims memory for it.
            max_bytes: The most bytes that may come back; None: as many as were claimed.

        Raises:
            Died: The process has ended amid it.
            FrameError: It has answered what it must not.
        """
        most = max_bytes or 0
        try:
            self.left = float(SECONDS)
            send(self._to, {**request, "seconds": SECONDS}, data)
            while True:
                said, found = receive(self._from, most)
                if "claim" not in said:
                    return said, found
                granted = self._grant(said["claim"], claim)
                most = granted if max_bytes is None else most
        except (EOFError, OSError) as exc:
            raise self._died() from exc
        finally:
            self.left = None
            self.files += 1

    def _grant(self, wanted: object, claim: Claim) -> int:
        """Answer a claim; return how many bytes it got."""
        width, height, size = numbers(wanted, 3, 2**62)
        self.left = None  # what others take is not this file's time
        try:
            claim(width, height, size)
        except ImageTooLarge as exc:
            self.left = float(SECONDS)
            send(self._to, {"refused": str(exc)})
            return 0
        seconds = SECONDS + min(width * height // 10**6, 10**4) * SECONDS_A_MEGAPIXEL
        self.left = float(seconds)
        send(self._to, {"size": size, "seconds": seconds})
        return size

    def _died(self) -> Died:
        with suppress(subprocess.TimeoutExpired):
            # Its pipe has closed, so it ends by itself, and says with which signal.
            self._process.wait(ENDING)
        self.end()
        if self.late:
            return Died("took too long", again=False)
        return Died(_how(self._process.returncode), again=True)

    def stop(self) -> None:
        """Kill it, since its file has taken too long; called from another thread."""
        self.late = True
        self._process.kill()

    def end(self) -> None:
        """End the process, and wait for that."""
        self._process.kill()
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close the pipes to the process."""
        for pipe in (self._to, self._from):
            with suppress(OSError):
                pipe.close()
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None


def numbers(value: object, count: int, most: int) -> list[int]:
    """Return a list of so many numbers from 0 to `most`, checked to be one.

    Raises:
        FrameError: It is not.
    """
    if (
        not isinstance(value, list)
        or len(value) != count
        or any(type(number) is not int or not 0 <= number <= most for number in value)
    ):
        raise FrameError("numbers")
    return value


def _how(status: int) -> str:
    """Return how a process has ended, after "its decoder"."""
    if status >= 0:
        return f"ended (exit status {status})"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name == "SIGKILL":
        return "was killed (SIGKILL), perhaps for lack of memory"
    return f"crashed ({name})"


def _search_path() -> list[str]:
    """Return where the child finds modules: where this process does, but not its current folder."""
    here = str(Path(__file__).resolve().parents[3])
    return [path for path in sys.path if path and path != here] + [here]


def _widen(pipe: Any) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # the user has too many such pipes
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
