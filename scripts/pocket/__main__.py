"""Make the built-in model: its data, its training, its checkpoint, its bundle.

    python scripts/pocket STAGE...        of: fetch prepare texts gather train refine
                                     assemble measure
    python scripts/pocket compile SPEC [FOLDER]

`make pocket` runs the stages in this order, without `compile`. Each keeps what it made in
POCKET_CACHE and does nothing where that is there already; delete a file to make it anew. The
environment also names POCKET_DATASETS, POCKET_START, POCKET_MIRROR, EXCLUDE and SEED: places.py.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pocket.places import CACHE, SEED


def main(arguments: list[str]) -> None:
    """Run the stages that the command line names."""
    if arguments[:1] == ["compile"]:
        from pocket.compile import compile_built_in

        compile_built_in(arguments[1], Path(arguments[2]) if arguments[2:] else None)
        return
    for stage in arguments:
        run(stage)


def run(stage: str) -> None:
    """Run one stage."""
    if stage == "fetch":
        from pocket.fetch import fetch

        fetch()
    elif stage == "prepare":
        from pocket.prepare import prepare

        prepare()
    elif stage == "texts":
        from pocket.texts import texts

        texts()
    elif stage == "gather":
        from pocket.gather import gather

        gather()
    elif stage == "train":
        if not (CACHE / "trained" / "done").is_file():
            options = ["--data", CACHE / "train", "--out", CACHE / "trained", "--seed", str(SEED)]
            command = [sys.executable, "-m", "pocket.train", *map(str, options), "--batch", "768"]
            subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    elif stage == "refine":
        from pocket.refine import refine

        refine()
    elif stage == "assemble":
        from pocket.assemble import assemble

        assemble()
    elif stage == "measure":
        from pocket.measure import report

        for what, figure in report(CACHE / "pocket-v1").items():
            sys.stdout.write(f"{what}: {figure}\n")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
