"""What the tests of sidecars share."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.sidecar_samples import read_by_exiftool

Reader = Callable[[bytes], dict[str, Any]]


@pytest.fixture
def exiftool(tmp_path: Path) -> Reader:
    """What exiftool, which shares no code with clipdex, reads from a sidecar's bytes."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool, which checks sidecars, is not installed (libimage-exiftool-perl)")

    def read(data: bytes) -> dict[str, Any]:
        file = tmp_path / "written.xmp"
        file.write_bytes(data)
        return read_by_exiftool(file)

    return read
