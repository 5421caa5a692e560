"""Questions to a collection: text, picture and mixed search, and labels without training.

from search import Engine
Engine.open("./photos.clipdex").search("a dog on a beach", k=5)
"""

from .engine import Engine, Status
from .hits import Hit

__all__ = ["Engine", "Hit", "Status"]
