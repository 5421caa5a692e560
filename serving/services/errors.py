"""What a server cannot or may not do, beside the errors of the engine.

    ClipdexError
    ├── InsecureAddress     a server that everybody in the network could use
    ├── AddressUnavailable  an address that this machine cannot listen at
    ├── WorkersUnavailable  several processes, where they cannot share connections
    ├── ServerUnavailable   a server that needs a package which is not installed
    ├── Busy                more requests wait than the server has room for
    ├── NotFound            no job, head, model or file of this name
    ├── NotAllowed          a folder that the operator has not allowed
    └── JobRunning          an index job runs already

`serving.errors` says which status each of them is.
"""

from indexer.errors import ClipdexError


class InsecureAddress(ClipdexError):
    """A server that everybody in the network could use."""


class AddressUnavailable(ClipdexError):
    """An address that this machine cannot listen at."""


class WorkersUnavailable(ClipdexError):
    """Several processes, where they cannot share connections."""


class ServerUnavailable(ClipdexError):
    """A server that needs a package which is not installed."""


class Busy(ClipdexError):
    """More requests wait than the server has room for."""

    def __init__(self) -> None:
        super().__init__("the server has more to do than it can: try again")


class NotFound(ClipdexError):
    """Something that is named does not exist."""


class NotAllowed(ClipdexError):
    """A folder that the operator has not allowed."""


class JobRunning(ClipdexError):
    """An index job is running, and there is one at a time.

    Args:
        job: Its id.
    """

    def __init__(self, job: str) -> None:
        super().__init__(f"job {job} is running: wait for it, or cancel it")
        self.job = job

    def __reduce__(self) -> tuple[type["JobRunning"], tuple[str]]:
        """Return what makes it again, in another process."""
        return type(self), (self.job,)
