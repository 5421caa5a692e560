"""One budget of memory for all decoders of this process and of its children.

Each decode claims what it will take, estimated from the image's header, before it takes it; one
that wants more than what is left waits. Claims are served in the order in which they came, so that
small images do not keep a large one waiting for ever. A claim that grows is given back first, so
nobody waits for another who waits too.
"""

import os
import threading
from collections import deque
from types import TracebackType

from indexer.devices.memory import available_memory
from indexer.devices.memory_trim import trim_memory
from indexer.errors import ImageTooLarge

# Of the machine's or the container's memory.
SHARE = 0.5
# A claim before which freed memory is given back to the system, which takes a millisecond.
LARGE = 256 * 2**20


class Budget:
    """Bytes of memory that decoders share.

    Args:
        total: All of them; half of what this process may use unless given.
    """

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._parts = 1
        self.forget()

    def forget(self) -> None:
        """Forget the claims of the process from which this one was forked."""
        self._used = 0
        self._queue: deque[object] = deque()
        self._change = threading.Condition()

    @property
    def total(self) -> int:
        """The bytes that all decodes of this process may take at one time."""
        if self._total is None:
            self._total = int(SHARE * available_memory())
        return self._total // self._parts

    def split(self, parts: int) -> None:
        """Leave this process one of several equal parts; other processes have theirs."""
        self._parts = max(1, parts)

    def take(self, size: int, width: int, height: int) -> None:
        """Wait until so many bytes are free, and take them.

        Raises:
            ImageTooLarge: They are more than there are in all.
        """
        if size > self.total:
            shared = "" if self._parts == 1 else f", shared by {self._parts} processes"
            raise ImageTooLarge(
                f"{width} x {height} pixels take about {size / 2**30:,.1f} GiB to decode, above "
                f"the limit of {self.total / 2**30:,.1f} GiB (half of the memory here{shared})"
            )
        turn = object()
        with self._change:
            self._queue.append(turn)
            try:
                while self._queue[0] is not turn or self._used + size > self.total:
                    self._change.wait()
                self._used += size
            finally:
                self._queue.remove(turn)
                self._change.notify_all()

    def give_back(self, size: int) -> None:
        """Give back bytes that were taken."""
        with self._change:
            self._used -= size
            self._change.notify_all()

    def claim(self) -> "BudgetClaim":
        """Return a claim of one decode, given back when its `with` block ends."""
        return BudgetClaim(self)


class BudgetClaim:
    """What one decode has taken of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size = 0

    def __call__(self, width: int, height: int, size: int) -> None:
        """Take `size` bytes in all, or more if more were taken before.

        Raises:
            ImageTooLarge: They are more than there are in all.
        """
        if size <= self.size:
            return
        self.give_back()
        self._budget.take(size, width, height)
        self.size = size
        if size >= LARGE:
            # What other threads' images have freed is still held, by each for itself.
            trim_memory()

    def give_back(self) -> None:
        """Give everything back."""
        if self.size:
            self._budget.give_back(self.size)
            self.size = 0

    def __enter__(self) -> "BudgetClaim":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()


BUDGET = Budget()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BUDGET.forget)
