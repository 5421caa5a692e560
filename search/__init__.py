"""Search in a collection: text, image and mixed queries, and labels without training.

    from search import Engine
    Engine.open("./photos.clipdex").search("a dog on a beach", k=5)

The names below load their modules on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.filters.filter import Filter as Filter

    from .engine import Engine as Engine
    from .hits import Hit as Hit
    from .request import SearchRequest as SearchRequest
    from .status import Status as Status

__all__ = ["Engine", "Filter", "Hit", "SearchRequest", "Status"]

_HOMES = {
    "Engine": "engine",
    "Filter": "filters.filter",
    "Hit": "hits",
    "SearchRequest": "request",
    "Status": "status",
}

if not TYPE_CHECKING:  # or a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            return getattr(import_module(f".{_HOMES[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
