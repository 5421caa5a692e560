"""Chooses how many images a batch holds by measuring while the first ones are being encoded.

An encoder runs the model on one thread, so the processor time of a batch says what an image costs
in batches of that size, whatever other threads do meanwhile. The batches are part of the run, so
measuring costs nothing. Sizes are tried in ascending order until a larger one is hardly cheaper,
because the memory of a larger batch would not be freed before the end of the run.
"""

import threading
from collections.abc import Sequence
from statistics import median

# Batches measured at each size, after one per encoder to warm up.
BATCHES = 8
# A larger batch has to save this share of an image's cost.
GAIN = 0.03


class BatchTuner:
    """A search for the best batch size.

    Args:
        sizes: The sizes to try, ascending.
        encoders: How many threads encode.
    """

    def __init__(self, sizes: Sequence[int], encoders: int) -> None:
        self.sizes = sizes
        self.settled = len(sizes) == 1
        self._encoders = encoders
        self._at = 0
        self._min_cost = float("inf")
        self._costs: list[float] = []
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How many images the next batch should hold."""
        return self.sizes[self._at]

    def note(self, images: int, seconds: float) -> None:
        """Record how long a batch took; may be called from any thread.

        Args:
            images: How many it held.
            seconds: Processor time.
        """
        with self._lock:
            if self.settled or images != self.size:
                return
            self._costs.append(seconds / images)
            if len(self._costs) == self._encoders + BATCHES:
                self._decide(median(self._costs[self._encoders :]))
                self._costs.clear()

    def _decide(self, cost: float) -> None:
        if cost > (1 - GAIN) * self._min_cost:
            self._at -= 1
            self.settled = True
        elif self._at + 1 == len(self.sizes):
            self.settled = True
        else:
            self._min_cost = cost
            self._at += 1
