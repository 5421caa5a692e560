"""From image folders to a searchable collection: scan, decode, encode, store.

    from indexer import build
    build(["./photos"], collection="./photos.clipdex")

The names below load their modules on first use, so that a search does not pay for what only
indexing needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .devices.openmp import spin_briefly
from .telemetry import switch_off

if TYPE_CHECKING:
    from indexer.pipeline.writer import BuildReport as BuildReport
    from indexer.pipeline.writer import Skipped as Skipped

    from .build_collection import Progress as Progress
    from .build_collection import build as build
    from .forget_files import forget as forget
    from .load import load_encoder as load_encoder

switch_off()
spin_briefly()

__all__ = ["BuildReport", "Progress", "Skipped", "build", "forget", "load_encoder"]

_HOMES = {
    "BuildReport": "pipeline.writer",
    "Progress": "build_collection",
    "Skipped": "pipeline.writer",
    "build": "build_collection",
    "forget": "forget_files",
    "load_encoder": "load",
}


if not TYPE_CHECKING:  # or a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            return getattr(import_module(f".{_HOMES[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
