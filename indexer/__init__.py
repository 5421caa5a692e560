"""Image folders to a searchable collection: scan, decode, encode, store.

    from indexer import build
    build(["./photos"], collection="./photos.clipdex")

The names below load their modules when they are first used, so that a search does not pay for
what only indexing needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .commit import BuildReport, Skipped
    from .indexing import Progress, build
    from .models import load_encoder
    from .removal import forget

__all__ = ["BuildReport", "Progress", "Skipped", "build", "forget", "load_encoder"]

_HOMES = {
    "BuildReport": "commit",
    "Progress": "indexing",
    "Skipped": "commit",
    "build": "indexing",
    "forget": "removal",
    "load_encoder": "models",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
