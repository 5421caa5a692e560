"""`clipdex adapt tune` by the installed command: small pictures, two epochs, the built-in model."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import COMMAND, Run, json_lines
from shapes import labelled


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_tuned_model_is_indexed_with_and_searched(
    method: str, clipdex: Run, tmp_path: Path
) -> None:
    train = labelled(tmp_path / "train", range(6))
    photos = labelled(tmp_path / "new", range(20, 22))
    options = ("--epochs", "2", "--method", method, "--old", photos, "--json")
    done = clipdex("adapt", "tune", "mine", train, *options)
    (facts,) = json_lines(done)
    assert facts["tuning"]["method"] == method
    assert [one["epoch"] for one in facts["epochs"]] == [1, 2]
    assert [one["alpha"] for one in facts["sweep"]] == [round(0.1 * n, 1) for n in range(11)]
    chosen = next(one for one in facts["sweep"] if one["alpha"] == facts["alpha"])
    assert chosen["new"] >= facts["sweep"][0]["new"]
    assert chosen["old"] >= facts["sweep"][0]["old"] - 0.01
    clipdex("index", photos, "--model", "mine")
    (status,) = json_lines(clipdex("status", "--json"))
    assert (status["model"], status["fingerprint"]) == ("mine", facts["fingerprint"])
    assert len(json_lines(clipdex("search", "stripes", "--json"))) == 6
    assert b"good" in clipdex("models", "verify", "mine").stdout
    clipdex("adapt", "train", "shapes", train)  # a head for its vectors
    assert json_lines(clipdex("label", "--head", "shapes", "--json"))


def test_a_run_that_was_killed_goes_on(clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(6))
    environment = {
        **os.environ,
        "CLIPDEX_CACHE": str(tmp_path / "cache"),
        "CLIPDEX_COLLECTION": str(tmp_path / "collection"),
    }
    command = [COMMAND, "adapt", "tune", "mine", train, "--epochs", "3"]
    state = tmp_path / "cache" / "tuning" / "mine" / "state.safetensors"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not state.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = clipdex("adapt", "tune", "mine", train, "--epochs", "3", "--json")
    assert b"epoch 1:" not in done.stderr
    (facts,) = json_lines(done)
    assert [one["epoch"] for one in facts["epochs"]] == [1, 2, 3]
    assert not state.exists()


def test_what_wrecks_a_model_is_refused(clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(2))
    done = clipdex("adapt", "tune", "mine", train, "--rate", "0.01", "--warmup", "0", code=1)
    assert b"--rate 0.0001 or less" in done.stderr
    assert b"--warmup 0.1" in done.stderr
    assert (
        b"another model"
        in clipdex("adapt", "tune", "pocket", train, "--epochs", "1", code=1).stderr
    )
