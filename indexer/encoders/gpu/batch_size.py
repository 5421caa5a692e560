"""How many images a device takes at once: found by trial, and halved when memory runs out.

Nothing here knows a device: what tries a size, and what encodes, is passed in.
"""

from collections.abc import Callable
from typing import TypeVar

from indexer.errors import OutOfMemory

# Of a device's memory. The rest is for what grows later: other programs, the driver's own buffers,
# a caching allocator's gaps.
NEAR_FULL = 0.85
SMALLEST_TRIAL = 16
# Where throughput has long stopped rising. A batch also lies in the host's memory, some four
# times over, and is what `kill -9` loses.
LARGEST_TRIAL = 1024

T = TypeVar("T")


def find_batch_size(
    try_size: Callable[[int], float],
    *,
    start: int = SMALLEST_TRIAL,
    most: int = LARGEST_TRIAL,
    idle: float = 0.0,
) -> int:
    """The largest size, `start` times or divided by a power of two and at most `most`, that leaves
    memory less than nearly full.

    try_size: encodes a batch of that many images and returns the share of the device's memory,
    0 to 1, that was in use; raises OutOfMemory where it does not fit. idle: that share before any
    image. A size that cannot fit, going by the last, is not tried: some systems page rather
    than refuse, and stand still for minutes.

    Raises OutOfMemory where not even one image fits.
    """
    size = min(start, most)
    used = _tried(try_size, size)
    while used is None or used > NEAR_FULL:
        if size == 1:
            if used is None:
                raise OutOfMemory(
                    "the device's memory does not hold the model and one image: end other "
                    "programs that use it, or use --device cpu"
                )
            return 1
        size //= 2
        used = _tried(try_size, size)
    while size < most:
        larger = min(2 * size, most)
        if idle + (used - idle) * larger / size > NEAR_FULL:
            break
        more = _tried(try_size, larger)
        if more is None or more > NEAR_FULL:
            break
        size, used = larger, more
    return size


def _tried(try_size: Callable[[int], float], size: int) -> float | None:
    """The share of memory that `size` images take; None where they do not fit."""
    try:
        return try_size(size)
    except OutOfMemory:
        return None


class Halving:
    """Encodes batches in parts no larger than what has fitted so far.

    limit: images a part; halved whenever memory runs out, and never raised again, since what
    took the memory (another program, a fragmented heap) is likely to stay.
    recover: called before a part is tried again, to give memory back.
    """

    def __init__(self, limit: int, recover: Callable[[], None] = lambda: None) -> None:
        self.limit = limit
        self._recover = recover

    def run(self, count: int, encode: Callable[[slice], T]) -> list[T]:
        """What `encode` gives for parts that together are `range(count)`, in order.

        encode: may raise OutOfMemory; a part that does not fit is tried again in halves.
        Raises OutOfMemory, naming the way out, where one image alone does not fit.
        """
        parts: list[T] = []
        at = 0
        while at < count:
            end = min(at + self.limit, count)
            fits = True
            try:
                parts.append(encode(slice(at, end)))
            except OutOfMemory as exc:
                if end - at == 1:
                    raise OutOfMemory(
                        f"{exc}. Not even one image fits: end other programs that use the "
                        "device, or use --device cpu"
                    ) from exc
                fits = False
            if fits:
                at = end
            else:  # not in the handler: while the error lives, its frames hold the batch's tensors
                self.limit = (end - at) // 2
                self._recover()
        return parts
