"""`clipdex adapt tune` by the installed command: small images, two epochs, the built-in model."""

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from indexer.bundles.bundle import Bundle
from support.checkpoints import make_checkpoint
from support.command import COMMAND, Run, json_lines
from support.shapes import CLASSES, labelled
from support.tuning import TUNING
from support.waiting import wait_until


def test_a_tuned_model_is_indexed_with_and_searched(clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(6))
    photos = labelled(tmp_path / "new", range(20, 22))
    options = ("--epochs", "2", "--method", "adapter", "--old", photos, "--json")
    done = clipdex("adapt", "tune", "mine", train, *options)
    (report,) = json_lines(done)
    assert report["tuning"]["method"] == "adapter"
    assert [one["epoch"] for one in report["epochs"]] == [1, 2]
    assert [one["alpha"] for one in report["sweep"]] == [round(0.1 * n, 1) for n in range(11)]
    chosen = next(one for one in report["sweep"] if one["alpha"] == report["alpha"])
    assert chosen["new"] >= report["sweep"][0]["new"]
    assert chosen["old"] >= report["sweep"][0]["old"] - 0.01
    clipdex("index", photos, "--model", "mine")
    (status,) = json_lines(clipdex("status", "--json"))
    assert (status["model"], status["fingerprint"]) == ("mine", report["fingerprint"])
    assert len(json_lines(clipdex("search", "stripes", "--json"))) == 6
    assert b"good" in clipdex("models", "verify", "mine").stdout
    clipdex("adapt", "train", "shapes", train)  # a head for its vectors
    assert json_lines(clipdex("label", "--head", "shapes", "--json"))
    before, after = json_lines(
        clipdex("eval", photos, "--model", "pocket", "--model", "mine", "--json")
    )
    assert before["zero_shot"]["top_1"] == pytest.approx(report["sweep"][0]["old"])
    assert after["zero_shot"]["top_1"] == pytest.approx(chosen["old"])


def add_small_model(clipdex: Run, folder: Path) -> None:
    """Add a small transformer as "small": the built-in model takes much longer to tune."""
    make_checkpoint(folder / "checkpoint", {}, {}, trained=True)
    clipdex("models", "add", folder / "checkpoint", "--name", "small")


def captioned(folder: Path, seeds: range) -> Path:
    """Images with captions that fit their kind."""
    labelled(folder, seeds)
    with open(folder / "captions.jsonl", "w", encoding="utf-8") as stream:
        for kind in CLASSES:
            for seed in seeds:
                captions = [f"{kind} number {seed}", f"a drawing of {kind}"]
                row = {"image": f"{kind}/{seed}.png", "captions": captions}
                stream.write(json.dumps(row) + "\n")
    return folder / "captions.jsonl"


@pytest.mark.long
def test_captions_tune_a_model_and_several_are_averaged(clipdex: Run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "train", range(5))
    add_small_model(clipdex, tmp_path)
    common = ("--model", "small", "--epochs", "2", "--batch-size", "6", "--warmup", "0", "--force",
              "--json")  # fmt: skip
    clipdex("adapt", "tune", "mine-0", data, "--method", "lora", *common)
    done = clipdex(
        *("adapt", "tune", "mine-1", data, "--unfreeze", "3", "--checkpointing", *common),
        *("--tensorboard", tmp_path / "events"),
    )
    (report,) = json_lines(done)
    assert report["warnings"] == ["no-warm-up"]
    assert report["tuning"]["unfreeze_per_epoch"] == 3
    assert all(0 < one["held_out_mean_reciprocal_rank"] <= 1 for one in report["epochs"])
    log = tmp_path / "cache" / "tuning" / "mine-1" / "log.csv"
    with open(log, encoding="utf-8") as stream:
        assert [float(row["loss"]) for row in csv.DictReader(stream)] == pytest.approx(
            [one["loss"] for one in report["epochs"]]
        )
    assert _events(tmp_path / "events") == pytest.approx([one["loss"] for one in report["epochs"]])
    clipdex("adapt", "merge", "mine", "mine-0", "mine-1")
    towers = [_tower(clipdex, tmp_path / "cache", name) for name in ("mine-0", "mine-1", "mine")]
    for name, merged in towers[2].items():
        expected = (towers[0][name].double() + towers[1][name].double()) / 2
        torch.testing.assert_close(merged.double(), expected, atol=1e-6, rtol=1e-6)
    for names, why in ((["mine-0"], b"two or more"), (["mine-0", "pocket"], b"from one base")):
        assert why in clipdex("adapt", "merge", "other", *names, code=1).stderr
    clipdex("index", tmp_path / "train", "--model", "mine")
    assert json_lines(clipdex("search", "a drawing of stripes", "--json"))


@pytest.mark.long
@pytest.mark.parametrize("towers", ["text", "both"])
def test_captions_tune_the_text_tower_too(towers: str, clipdex: Run, tmp_path: Path) -> None:
    labelled(tmp_path / "train", range(10))
    data = tmp_path / "train" / "kinds.csv"
    rows = [f"{kind}/{seed}.png,a drawing of {kind}" for kind in CLASSES for seed in range(10)]
    data.write_text("\n".join(["path,caption", *rows]))
    photos = labelled(tmp_path / "old", range(20, 22))
    add_small_model(clipdex, tmp_path)
    common = ("--model", "small", "--epochs", "2", "--batch-size", "12", "--towers", towers)
    method = ("--method", "lora", "--rate", "0.01") if towers == "both" else ()
    done = clipdex("adapt", "tune", "mine", data, *common, *method, "--json")
    (report,) = json_lines(done)
    assert report["towers"] == report["tuning"]["towers"] == towers
    assert len(report["sweep"]) == 11
    models = {one["name"]: one for one in json_lines(clipdex("models", "list", "--json"))}
    bundles = {
        name: Bundle.load(tmp_path / "cache" / "models" / models[name]["fingerprint"])
        for name in ("small", "mine")
    }
    small, mine = (bundles[name].checksums for name in ("small", "mine"))
    # Where no step was better, it is still the model that it was.
    moved = report["alpha"] > 0
    assert (small["text.onnx.data"] != mine["text.onnx.data"]) == moved
    assert (small["bank.npy"] != mine["bank.npy"]) == moved
    if towers == "text":
        assert small["image.onnx.data"] == mine["image.onnx.data"]
    clipdex("index", photos, "--model", "mine")
    assert json_lines(clipdex("search", "a drawing of stripes", "--json"))
    if towers == "text":  # averaged with another run, the text tower goes along
        clipdex("adapt", "tune", "mine-2", data, *common, "--seed", "1", "--old", photos)
        clipdex("adapt", "merge", "mean", "mine", "mine-2")
        assert json_lines(clipdex("eval", photos, "--model", "mean", "--json"))


def test_towers_that_do_not_fit_are_refused(clipdex: Run, tmp_path: Path) -> None:
    classes = labelled(tmp_path / "classes", range(2))
    captions = captioned(tmp_path / "captions", range(2))
    for data, options, code, why in (
        (classes, ("--towers", "text"), 1, b"needs captions"),
        (classes, ("--towers", "both"), 1, b"needs captions"),
        (captions, ("--towers", "text", "--method", "adapter"), 1, b"full or lora"),
        (captions, ("--towers", "none"), 2, b"image, text, both"),
    ):
        done = clipdex("adapt", "tune", "mine", data, *options, code=code)
        assert why in done.stderr
        assert code == 2 or len(done.stderr.splitlines()) == 1


def _events(folder: Path) -> list[float]:
    """A run's losses, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return [one.value for one in found.Scalars("loss")]


def _tower(clipdex: Run, cache: Path, name: str) -> dict[str, torch.Tensor]:
    models = json_lines(clipdex("models", "list", "--json", env={"CLIPDEX_CACHE": str(cache)}))
    mark = next(one["fingerprint"] for one in models if one["name"] == name)
    return load_file(cache / "models" / mark / "torch" / "visual.safetensors")


def test_a_killed_run_resumes_to_the_same_weights(
    clipdex: Run, tuned: Path, tmp_path: Path
) -> None:
    clipdex("models", "add", tuned / "checkpoint", "--name", "small")
    command = ["adapt", "tune", "mine", tuned / "train", *TUNING]
    state = tmp_path / "cache" / "tuning" / "mine" / "state.safetensors"
    environment = {**os.environ, "CLIPDEX_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen([COMMAND, *command], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: state.exists() or process.poll() is not None, seconds=600)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = clipdex(*command)
    assert b"epoch 1," not in done.stderr
    assert b"epoch 1," in (tuned / "stderr").read_bytes()
    assert not state.exists()
    (report,) = json_lines(done)
    assert report == json.loads((tuned / "stdout").read_bytes())
    start, expected = (_tower(clipdex, tuned / "cache", name) for name in ("small", "mine"))
    resumed = _tower(clipdex, tmp_path / "cache", "mine")
    for name, weights in expected.items():
        torch.testing.assert_close(resumed[name], weights, atol=1e-6, rtol=0)
    assert max(float((start[name] - expected[name]).abs().max()) for name in start) > 1e-3
    clipdex("index", tuned / "train", "--model", "mine")
    (status,) = json_lines(clipdex("status", "--json"))
    assert (status["model"], status["fingerprint"]) == ("mine", report["fingerprint"])


def test_settings_that_wreck_a_model_are_refused(clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(2))
    done = clipdex("adapt", "tune", "mine", train, "--rate", "0.01", "--warmup", "0", code=1)
    assert b"--rate 0.0001 or less" in done.stderr
    assert b"--warmup 0.1" in done.stderr
    assert (
        b"another model"
        in clipdex("adapt", "tune", "pocket", train, "--epochs", "1", code=1).stderr
    )
    lonely = labelled(tmp_path / "lonely", range(2))
    (lonely / "disc" / "1.png").unlink()
    assert b"fewer than 2 examples" in clipdex("adapt", "tune", "mine", lonely, code=1).stderr
    few = captioned(tmp_path / "few", range(1))
    assert b"give 4 or more" in clipdex("adapt", "tune", "mine", few, code=1).stderr
