"""The user's own folders, where nothing else was named."""

from pathlib import Path
from typing import Literal

from indexer.errors import HomeUnknown


def user_folder(kind: Literal["data", "cache"], instead: str) -> Path:
    """Return the user's folder for clipdex's data or caches.

    Args:
        kind: Which of them.
        instead: How the user names another one, for the error.

    Raises:
        HomeUnknown: The user has no home folder, as in some containers.
    """
    from platformdirs import user_cache_path, user_data_path

    find = user_data_path if kind == "data" else user_cache_path
    unknown = f"this user has no home folder for clipdex's {kind}: {instead}"
    try:
        folder = find("clipdex", appauthor=False)
    except RuntimeError as exc:
        raise HomeUnknown(unknown) from exc
    # Older platformdirs return a path that begins with a ~, which nothing replaces.
    if not folder.is_absolute():
        raise HomeUnknown(unknown)
    return folder
