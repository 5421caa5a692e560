"""Questions to a collection: text, picture and mixed search, and labels without training.

from search import Engine
Engine.open("./photos.clipdex").search("a dog on a beach", k=5)
"""

from typing import TYPE_CHECKING, Any

from .engine import Engine
from .hits import Hit
from .status import Status

if TYPE_CHECKING:
    from .filters import Filter

__all__ = ["Engine", "Filter", "Hit", "Status"]


def __getattr__(name: str) -> Any:
    if name == "Filter":  # loaded when it is first used
        from .filters import Filter

        return Filter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
