"""OpenMP is told how to wait before anything loads it, unless the user told it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("faiss", "torch"):
            print(os.environ.get("GOMP_SPINCOUNT"))
            sys.exit()

sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
@pytest.mark.parametrize(
    "entry",
    [
        "import indexer.store.vector_index",
        "import indexer.encoders.gpu.torch_encoder",
        "import api",
    ],
)
def test_threads_wait_briefly(entry: str, given: dict[str, str], found: str) -> None:
    own = {key: os.environ[key] for key in os.environ if not key.startswith(("GOMP", "OMP_WAIT"))}
    code = f"{SCRIPT}\n{entry}\nimport faiss"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**own, **given}, cwd=Path(__file__).parents[4], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == found
