"""Which capture times are believed.

Whether a date lies in the future is asked whenever dates are compared, and never stored: the clock
that was wrong may have been this machine's, and then the date counts as soon as that is mended.
"""

import time

# Seconds by which a capture time may lie ahead of this machine's clock: time zones, and a little.
TOLERANCE = 2 * 24 * 3600
# For so long what was remembered may go by what was believed.
BELIEVED_SECONDS = 60


def latest_believable() -> int:
    """Return the last capture time that is believed now, in seconds since 1970.

    A camera whose photos claim to be later had a wrong clock; the file's own time counts instead.
    """
    return int(time.time()) + TOLERANCE
