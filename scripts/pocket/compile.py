"""Stage 10: compile the checkpoint into the bundle that the package carries.

python -m scripts.pocket compile local-dir:PATH/TO/pocket-v1 [FOLDER]
"""

import sys
from pathlib import Path


def compile_built_in(spec: str, target: Path | None = None) -> None:
    """Write the bundle, and print its files and how close it is to open_clip.

    Args:
        spec: The checkpoint as open_clip names it.
        target: Where the bundle goes; into the package if not given.
    """
    from indexer.compile.compiler import compile_model
    from indexer.compile.verify import verify
    from indexer.model_name import BUILT_IN, BUILT_IN_FOLDER
    from indexer.openclip.loader import load

    licence = "Apache-2.0 towers (EfficientNet-Lite, MiniLM); trained on research data: see NOTICE"
    target = target or BUILT_IN_FOLDER
    bundle = compile_model(spec, target, name=BUILT_IN, licence=licence, half=True)
    for file in sorted(target.iterdir()):
        sys.stdout.write(f"{file.stat().st_size:>11,} {file.name}\n")
    sys.stdout.write(f"{bundle.fingerprint} {verify(bundle, load(spec))}\n")
