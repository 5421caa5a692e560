"""Keeps what clients can cause from filling the log."""

import logging
import time
from collections import OrderedDict

PER_MINUTE = 5
MAX_MESSAGES = 1000


class RepeatFilter(logging.Filter):
    """Passes each message so often a minute; the next one says how many were left out.

    Messages are the same if their templates are, whatever their arguments. Lines of the access log
    are all passed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a message."""
        if record.name == "clipdex.access":
            return True
        key = record.name, str(record.msg)[:200]
        now = time.monotonic()
        began, count = self._seen.pop(key, (now, 0))
        if now - began >= 60:
            left_out = count - PER_MINUTE
            if left_out > 0:
                record.msg = f"{record.msg} ({left_out} more like it were left out)"
            began, count = now, 0
        self._seen[key] = (began, count + 1)
        while len(self._seen) > MAX_MESSAGES:
            self._seen.popitem(last=False)
        return count < PER_MINUTE
