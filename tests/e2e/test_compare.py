"""`clipdex adapt compare` by the installed command."""

import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from adaptation.data.examples import read_examples
from adaptation.report.experiment import split
from indexer import load_encoder
from search.evaluation.dataset import read_ground_truth
from support.checkpoints import make_checkpoint
from support.command import COMMAND, Run, json_lines
from support.shapes import CLASSES, labelled
from support.waiting import wait_until


def test_heads_are_compared_in_one_page(clipdex: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "shapes", range(10))
    done = clipdex("adapt", "compare", data, "--ways", "few-shot,probe,head", "--json")
    (report,) = json_lines(done)
    ways = {one["method"]: one for one in report["ways"]}
    assert list(ways) == ["zero-shot", "few-shot", "probe", "head"]
    best = max(one["validation"] for one in report["ways"] if one["validation"] is not None)
    assert ways[report["recommended"]]["validation"] == best
    assert f"{100 * ways[report['recommended']]['test']:.1f} % of 6 test" in report["reasons"][0]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Take: " in text
    assert report["command"] in text
    # Nothing on the page asks anybody for anything.
    assert not re.search(r"<script|<link|<iframe|url\((?!#)|src=\"(?!data:)|href=\"(?!#)", text)
    assert all(f'<th scope="col">{name}</th>' in text for name in CLASSES)


def test_accuracies_are_those_of_the_test_images(clipdex: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "shapes", range(10))
    done = clipdex("adapt", "compare", data, "--ways", "zero-shot", "--seed", "3", "--json")
    (way,) = json_lines(done)[0]["ways"]
    encoder = load_encoder()
    learn, test, _ = split(read_examples(read_ground_truth(data), encoder), 3)
    assert not {*learn.paths} & {*test.paths}
    assert len(test.targets) == 6
    texts = encoder.encode_texts([f"a photo of a {name}" for name in test.classes])
    predicted = (test.vectors @ texts.T).argmax(axis=1)
    assert way["predicted"] == predicted.tolist()
    assert way["test"] == pytest.approx(np.mean(predicted == test.targets))


def test_the_page_shows_the_surest_mistakes(clipdex: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "<b>shapes", range(10))
    clipdex("adapt", "compare", data, "--ways", "zero-shot", "--json", "--out", "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "&lt;b&gt;shapes" in text
    assert "data:image/jpeg;base64," in text
    assert "taken\nfor" in text


@pytest.mark.long
def test_a_killed_comparison_goes_on(clipdex: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "shapes", range(6))
    make_checkpoint(tmp_path / "checkpoint", {}, {}, trained=True)
    clipdex("models", "add", tmp_path / "checkpoint", "--name", "small")
    options = ("--model", "small", "--epochs", "2", "--ways", "head,lora,scratch", "--json")
    environment = {
        **os.environ,
        "CLIPDEX_CACHE": str(tmp_path / "cache"),
        "CLIPDEX_COLLECTION": str(tmp_path / "collection"),
    }
    process = subprocess.Popen(
        [COMMAND, "adapt", "compare", data, *options],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    finished = tmp_path / "cache" / "compare"
    wait_until(lambda: any(finished.glob("*/lora.json")) or process.poll() is not None, seconds=600)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = clipdex("adapt", "compare", data, *options)
    assert b"fine-tuning by LoRA: finished in an earlier run" in done.stderr
    (report,) = json_lines(done)
    ways = {one["method"]: one for one in report["ways"]}
    assert list(ways) == ["zero-shot", "head", "lora", "scratch"]
    assert [one["epoch"] for one in ways["scratch"]["epochs"]] == [1, 2]
    assert ways["lora"]["parameters"] < ways["scratch"]["parameters"]
    assert all(0 <= way["test"] <= 1 for way in ways.values())
    # The tuned model is there for use.
    clipdex("index", data, "--model", ways["lora"]["model"])


def test_what_does_not_fit_into_the_budget_is_left_out(clipdex: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "shapes", range(4))
    done = clipdex("adapt", "compare", data, "--ways", "head,full", "--budget", "0.01", "--json")
    (report,) = json_lines(done)
    assert [one["method"] for one in report["ways"]] == ["zero-shot", "head"]
    assert "not one epoch of it fits" in report["left_out"][0]
    assert "--budget gives more" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_bad_input_is_refused_at_once(clipdex: Run, tmp_path: Path) -> None:
    one_class = labelled(tmp_path / "one", range(3))
    for name in CLASSES[1:]:
        for file in (one_class / name).iterdir():
            file.unlink()
        (one_class / name).rmdir()
    lone = labelled(tmp_path / "lone", range(3))
    for file in sorted((lone / CLASSES[0]).iterdir())[1:]:
        file.unlink()
    (tmp_path / "file").touch()
    for arguments, why in (
        ((one_class,), b"at least two classes"),
        ((lone,), b"at least two different images"),
        ((tmp_path / "missing",), b"missing"),
        ((lone, "--out", "file/report.html"), b"is not a folder"),
    ):
        done = clipdex("adapt", "compare", *arguments, code=1)
        assert why in done.stderr.replace(b"\n", b" ")
        assert b"Traceback" not in done.stderr
    assert b"--ways has 'tea'" in clipdex("adapt", "compare", lone, "--ways", "tea", code=2).stderr


@pytest.mark.long
def test_another_domain_is_measured_where_it_has_labels(clipdex: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "shapes", range(10))
    other = labelled(tmp_path / "other", range(40, 46))
    options = ("--ways", "head", "--json", "--target")
    (report,) = json_lines(clipdex("adapt", "compare", data, *options, other))
    ways = {one["method"]: one for one in report["ways"]}
    rows = {row["method"]: row for row in report["target"]["rows"]}
    assert list(rows) == ["zero-shot", "source-only", "mmd", "coral", "dann", "pseudo-labels"]
    # The same images by another command.
    (known,) = json_lines(clipdex("eval", other, "--json"))
    assert rows["zero-shot"]["accuracy"] == pytest.approx(known["zero_shot"]["top_1"])
    assert ways["zero-shot"]["target"] == rows["zero-shot"]["accuracy"]
    assert all(0.3 <= row["told_apart"] <= 1 for row in rows.values())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The other domain: other" in page
    assert "adapt domain --method mmd" in page
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, file in enumerate(sorted(other.rglob("*.png"))):
        file.rename(loose / f"{number}.png")
    (report,) = json_lines(clipdex("adapt", "compare", data, *options, loose))
    assert all(row["accuracy"] is None for row in report["target"]["rows"])
    assert "label a few images" in report["target"]["words"]
    assert "--method mmd" in report["target"]["command"]


def test_a_target_with_other_classes_is_refused(clipdex: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "shapes", range(4))
    other = labelled(tmp_path / "other", range(40, 43))
    (other / "grain").rename(other / "cloud")
    done = clipdex("adapt", "compare", data, "--target", other, code=1)
    assert b"has images of 'cloud'" in done.stderr.replace(b"\n", b" ")
    done = clipdex("adapt", "compare", data, "--target", data, code=1)
    assert b"both in DATA" in done.stderr.replace(b"\n", b" ")
