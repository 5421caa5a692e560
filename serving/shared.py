"""What all workers of one server have in common, so that it does not matter which one answers.

Keys and sessions, limits of clients and index jobs are held once: by the process that answers, or,
with several workers, by the one that starts them (`serving.workers`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from indexer.store.collection import locate
from serving.services.jobs import Jobs

from .credentials import Credentials
from .settings import Settings
from .token_buckets import TokenBuckets

# A client may save up this many seconds' worth of requests: a page of thumbnails comes at once.
BURST_SECONDS = 10.0


@dataclass(frozen=True)
class Shared:
    """What all workers of one server have in common.

    Args:
        credentials: Keys and sessions.
        requests: How many requests each client may make; None for any number.
        jobs: Index jobs.
        close: Ends the jobs.
    """

    credentials: Credentials
    requests: TokenBuckets | None
    jobs: Jobs
    close: Callable[[], None] = field(default=lambda: None)


def make_shared(settings: Settings) -> Shared:
    """Make what the workers of a server have in common."""
    jobs = Jobs(locate(settings.collection), settings.allow_index, settings.limits)
    rate = settings.rate_limit
    requests = TokenBuckets(rate, burst=max(1.0, rate * BURST_SECONDS)) if rate else None
    credentials = Credentials(settings.api_keys, settings.read_keys)
    return Shared(credentials, requests, jobs, jobs.close)
