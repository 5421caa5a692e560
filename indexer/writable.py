"""Whether something can be written, asked before the work whose result it is."""

import os
from pathlib import Path


def obstacle(folder: Path) -> str | None:
    """Return why a folder cannot be written, or made where it is missing; None if it can."""
    here = folder.absolute()
    while not os.path.lexists(here):
        here = here.parent
    if not here.is_dir():
        return f"{here} is not a folder"
    if not os.access(here, os.W_OK | os.X_OK):
        return f"{here} is not writable for this user"
    return None
