"""Questions to a collection: text, image and mixed search, and labels without training.

    from search import Engine
    Engine.open("./photos.clipdex").search("a dog on a beach", k=5)

The names below load their modules when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.filters.filter import Filter

    from .engine import Engine
    from .hits import Hit
    from .status import Status

__all__ = ["Engine", "Filter", "Hit", "Status"]

_HOMES = {"Engine": "engine", "Filter": "filters.filter", "Hit": "hits", "Status": "status"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
