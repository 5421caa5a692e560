"""How many images a batch: measured while the first ones are being encoded.

An encoder runs the model on one thread, so the processor time that a batch takes says what an image
costs in batches of that size, whatever the other threads do meanwhile; and since it is real work
that is measured, measuring costs nothing. Sizes are tried from the smallest up, until a larger one
is hardly cheaper: the memory that a batch took is kept until the end.
"""

import threading
from collections.abc import Sequence
from statistics import median

# Batches that are measured at each size, after one an encoder, which warm up.
BATCHES = 8
# A larger batch has to save this share of an image's cost.
GAIN = 0.03


class BatchTuner:
    """Finds the best batch size.

    Args:
        sizes: To be tried, ascending.
        encoders: Threads that encode.
    """

    def __init__(self, sizes: Sequence[int], encoders: int) -> None:
        self.sizes = sizes
        self.settled = len(sizes) == 1
        self._encoders = encoders
        self._at = 0
        self._least = float("inf")
        self._costs: list[float] = []
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How many images the next batch should hold."""
        return self.sizes[self._at]

    def note(self, images: int, seconds: float) -> None:
        """A batch of so many took so many processor seconds. Called from any thread."""
        with self._lock:
            if self.settled or images != self.size:
                return
            self._costs.append(seconds / images)
            if len(self._costs) == self._encoders + BATCHES:
                self._decide(median(self._costs[self._encoders :]))
                self._costs.clear()

    def _decide(self, cost: float) -> None:
        if cost > (1 - GAIN) * self._least:
            self._at -= 1
            self.settled = True
        elif self._at + 1 == len(self.sizes):
            self.settled = True
        else:
            self._least = cost
            self._at += 1
