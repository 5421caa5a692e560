"""Lines of text for whoever runs clipdex, from places that have no other way to say them.

What is said here is no error: a file that was damaged has been written again, a copy is being read.
`terminal/` prints it; programs that use the packages find it in the log "clipdex".
"""

from collections.abc import Callable

_listeners: list[Callable[[str], None]] = []
_said: set[str] = set()


def listen(listener: Callable[[str], None]) -> None:
    """Have `listener` called with each line, in place of the log."""
    _listeners[:] = [listener]


def say(text: str) -> None:
    """Say a line, once in the life of this process."""
    if text in _said:
        return
    _said.add(text)
    if _listeners:
        _listeners[0](text)
        return
    import logging  # a search that has nothing to say does not pay for it

    logging.getLogger("clipdex").warning("%s", text)
