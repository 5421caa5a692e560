"""Where an exported model goes, checked before torch is loaded."""

from pathlib import Path

from indexer.errors import ModelError
from indexer.writable import obstacle


def require_target(folder: Path) -> Path:
    """Return the absolute path of a folder to write a model to.

    Raises:
        ModelError: It is not a new or empty folder, or cannot be written.
    """
    folder = folder.absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ModelError(f"{folder} exists already: name a new or empty folder")
    reason = obstacle(folder.parent)
    if reason is not None:
        raise ModelError(f"cannot write a model to {folder}: {reason}")
    return folder
