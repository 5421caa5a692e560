"""A model that is tuned by the installed command in seconds."""

import os
import subprocess
from pathlib import Path

from support.checkpoints import make_checkpoint
from support.command import COMMAND
from support.shapes import labelled

# Long enough to be killed, and at a rate that moves a model of random weights.
TUNING = ("--model", "small", "--epochs", "30", "--rate", "0.01", "--force", "--json")


def tune_small(folder: Path) -> None:
    """Tune the model `mine` by TUNING.

    The folder then holds images in `train`, the checkpoint of `small` in `checkpoint`, both models
    in `cache`, and what the command said in `stdout` and `stderr`.
    """
    train = labelled(folder / "train", range(10))
    make_checkpoint(folder / "checkpoint", {}, {}, trained=True)
    for command in (
        ["models", "add", folder / "checkpoint", "--name", "small"],
        ["adapt", "tune", "mine", train, *TUNING],
    ):
        done = subprocess.run(
            [COMMAND, *command],
            env={**os.environ, "CLIPDEX_CACHE": str(folder / "cache")},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
    (folder / "stdout").write_bytes(done.stdout)
    (folder / "stderr").write_bytes(done.stderr)
