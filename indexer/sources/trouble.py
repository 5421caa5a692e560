"""What goes wrong far away: errors of many libraries as OSError, and trying again.

The libraries behind fsspec raise errors of their own and of the libraries below them. Here they
become OSErrors whose `strerror` is one clause without credentials; and calls that a dropped
connection or a busy service has ended are made again.
"""

import errno
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# How often something is tried, and how many seconds lie between the first two tries; twice as many
# between the next.
ATTEMPTS, DELAY = 5, 0.25
# After so many calls in a row that failed in all their tries, nothing is tried twice until one
# succeeds: the connection is gone, and a run of many files is not to wait for each.
HOPELESS = 16
# An answer will not be another one for these.
FINAL = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
DENIED, MISSING = (401, 403), (404, 410)
# What botocore and google-auth call it when they find no credentials, or half of some.
NO_CREDENTIALS = re.compile(r"Credential|TokenRetrieval|ProfileNotFound|RefreshError")
NO_BUCKET = re.compile(r"NoSuchBucket|(?i:bucket does not exist)")
MAX_REASON = 200
# What a URL in a message may hold: a signature behind a question mark, a password before an at.
SECRETS = re.compile(r"(?<=://)[^/\s'\"]*@|\?[^\s'\"]*")


class Trouble:
    """The trouble that one host makes.

    Attributes:
        in_a_row: How many calls failed since the last that succeeded.
    """

    def __init__(self) -> None:
        self.in_a_row = 0

    def through(self, call: Callable[[], T], attempts: int = ATTEMPTS) -> T:
        """Make a call, again and again where it fails in a way that may pass.

        Raises:
            OSError: It failed in all of them, or finally.
        """
        for attempt in range(attempts):
            try:
                found = call()
            except Exception as exc:
                error = translated(exc)
                if isinstance(error, FINAL):
                    raise error from exc
                if attempt + 1 >= attempts or self.in_a_row >= HOPELESS:
                    self.in_a_row += 1
                    raise error from exc
                time.sleep(DELAY * 2**attempt * (0.5 + random.random()))
            else:
                self.in_a_row = 0
                return found
        raise AssertionError("no attempts")


def translated(exc: Exception) -> OSError:
    """Return an error of any library as an OSError with a `strerror` for people."""
    status = getattr(exc, "status", None) or getattr(exc, "code", None)
    cause = exc.__cause__
    # fsspec says of whatever a web server answers, or does not, that there is no file.
    if isinstance(exc, FileNotFoundError) and (
        isinstance(cause, OSError | TimeoutError) or hasattr(cause, "status")
    ):
        assert isinstance(cause, Exception)
        return translated(cause)
    if isinstance(exc, FileNotFoundError) or status in MISSING:
        bucket = NO_BUCKET.search(f"{exc} {cause}")
        what = "there is no such bucket" if bucket else "there is no such file or folder"
        return FileNotFoundError(errno.ENOENT, what)
    if NO_CREDENTIALS.search(type(exc).__name__):
        return PermissionError(errno.EACCES, "no credentials for it were found")
    if isinstance(exc, PermissionError) or status in DENIED:
        return PermissionError(errno.EACCES, "permission denied")
    if isinstance(exc, NotADirectoryError | IsADirectoryError) and exc.strerror:
        return exc
    if isinstance(exc, TimeoutError):
        return TimeoutError(errno.ETIMEDOUT, "no answer in time")
    text = SECRETS.sub("", (str(exc) or type(exc).__name__).strip().split("\n")[0])
    return OSError(errno.EIO, text[:MAX_REASON].rstrip("."))
