"""Compile the built-in model from its checkpoint.

    python scripts/pocket.py local-dir:PATH/TO/pocket-v0

docs/models.md describes how the checkpoint itself was made.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from indexer.compile.compiler import compile_model
from indexer.compile.verify import verify
from indexer.load import BUILT_IN
from indexer.model_name import BUILT_IN_FOLDER
from indexer.openclip.loader import load

LICENCE = "Apache-2.0 towers (EfficientNet-Lite, MiniLM); trained on research data: see NOTICE"


def main(spec: str) -> None:
    """Write the bundle that the package contains, and print how close it is to open_clip."""
    bundle = compile_model(spec, BUILT_IN_FOLDER, name=BUILT_IN, licence=LICENCE, half=True)
    for file in sorted(BUILT_IN_FOLDER.iterdir()):
        sys.stdout.write(f"{file.stat().st_size:>11,} {file.name}\n")
    sys.stdout.write(f"{bundle.fingerprint} {verify(bundle, load(spec))}\n")


if __name__ == "__main__":
    main(sys.argv[1])
