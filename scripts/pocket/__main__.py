"""Make the built-in model: its data, its training, its checkpoint, its bundle.

    python -m scripts.pocket STAGE...     of: fetch prepare texts gather train refine
                                     assemble measure
    python -m scripts.pocket compile SPEC [FOLDER]

`make pocket` runs the stages in this order, without `compile`. Each keeps what it made in
POCKET_CACHE and does nothing where that is there already; delete a file to make it anew. The
environment also names POCKET_DATASETS, POCKET_START, POCKET_MIRROR, EXCLUDE and SEED: places.py.
"""

import subprocess
import sys
from pathlib import Path

from .places import CACHE, SEED


def main(arguments: list[str]) -> None:
    """Run the stages that the command line names."""
    if arguments[:1] == ["compile"]:
        from .compile import compile_built_in

        compile_built_in(arguments[1], Path(arguments[2]) if arguments[2:] else None)
        return
    for stage in arguments:
        run(stage)


def run(stage: str) -> None:
    """Run one stage."""
    if stage == "fetch":
        from .fetch import fetch

        fetch()
    elif stage == "prepare":
        from .prepare import prepare

        prepare()
    elif stage == "texts":
        from .texts import texts

        texts()
    elif stage == "gather":
        from .gather import gather

        gather()
    elif stage == "train":
        if not (CACHE / "trained" / "done").is_file():
            options = ["--data", CACHE / "train", "--out", CACHE / "trained", "--seed", str(SEED)]
            command = [
                sys.executable,
                "-m",
                "scripts.pocket.train",
                *map(str, options),
                "--batch",
                "768",
            ]
            subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    elif stage == "refine":
        from .refine import refine

        refine()
    elif stage == "assemble":
        from .assemble import assemble

        assemble()
    elif stage == "measure":
        from .measure import report

        for what, figure in report(CACHE / "pocket-v1").items():
            sys.stdout.write(f"{what}: {figure}\n")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
