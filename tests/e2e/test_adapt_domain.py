"""`clipdex adapt domain` and `adapt distance` by the installed command, on drawn images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from support.command import Run, json_lines
from support.shapes import labelled


def other_kind(folder: Path, seeds: range) -> Path:
    """The images of `support.shapes`, as negatives in gray: another domain."""
    for path in labelled(folder, seeds).rglob("*.png"):
        with Image.open(path) as image:
            ImageOps.invert(image.convert("L")).save(path)
    return folder


@pytest.fixture
def domains(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Labelled images, others without labels, and labelled ones of the other kind to measure on."""
    source = labelled(tmp_path / "source", range(8))
    drawn = other_kind(tmp_path / "drawn", range(20, 26))
    target = tmp_path / "target"
    target.mkdir()
    for path in drawn.rglob("*.png"):
        shutil.move(path, target / f"{path.parent.name[0]}{path.name}")
    return source, target, other_kind(tmp_path / "validation", range(40, 44))


@pytest.mark.parametrize(
    ("method", "kind"),
    [("mmd", "mlp"), ("coral", "mlp"), ("dann", "mlp"), ("pseudo-labels", "linear")],
)
def test_a_head_for_another_domain_labels_and_narrows(
    method: str, kind: str, clipdex: Run, domains: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    if kind == "mlp":
        pytest.importorskip("torch")
    source, target, validation = domains
    common = ("adapt", "domain", "shapes", "--source", source, "--target", target)
    (made,) = json_lines(
        clipdex(*common, "--method", method, "--validation", validation, "--json", "--force")
    )
    assert (made["kind"], made["method"]) == (kind, method)
    metrics = made["metrics"]
    found = json_lines(clipdex("label", validation, "--head", "shapes", "--json"))
    right = [one["labels"][0]["label"] == Path(one["path"]).parent.name for one in found]
    assert len(right) == metrics["validation"]["images"] == 12
    assert np.mean(right) == pytest.approx(metrics["validation"]["accuracy"])
    assert np.mean(right) > 0.5
    before, after = metrics["distance"]["before"], metrics["distance"]["after"]
    assert 0.5 <= before["domain_accuracy"] <= 1
    assert (after is None) == (method == "pseudo-labels")
    assert {tuple(one["setting"]) for one in metrics["tried"]} == {tuple(made["config"])}
    clipdex("index", target)
    hits = json_lines(clipdex("search", "an image", "--label", "stripes>0.3", "--json"))
    assert {Path(one["path"]).name[0] for one in hits} <= {"s", "d", "g"}
    (one,) = json_lines(clipdex("adapt", "list", "--json"))
    assert one["metrics"]["selected_by"] == metrics["selected_by"]


def test_it_says_in_words_what_it_did(clipdex: Run, domains: tuple[Path, Path, Path]) -> None:
    source, target, validation = domains
    common = ("adapt", "domain", "shapes", "--source", source, "--target", target)
    told = clipdex(*common, "--method", "pseudo-labels").stdout.decode()
    assert (
        "shapes: 3 classes by pseudo-labels, from 24 labelled images and 18 of the target" in told
    )
    assert "settings were chosen by reverse validation" in told
    assert "held-out source:" in told
    assert "source-only" in told
    assert "unknown" in told
    assert "clipdex label --head shapes" in told
    told = clipdex(
        *common, "--method", "pseudo-labels", "--target-labels", validation, "--force"
    ).stdout.decode()
    assert "12 of its labels" in told
    # Each class of them is of one scene, so none is held out.
    assert "no label of it could be held out" in told


def test_bad_input_gets_one_line_before_any_work(
    clipdex: Run, domains: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    source, target, _ = domains

    def refused(*arguments: object, code: int = 1) -> str:
        done = clipdex("adapt", "domain", "x", *arguments, code=code)
        assert done.stdout == b""
        return done.stderr.decode()

    def alone(*arguments: object) -> str:
        (line,) = refused(*arguments).splitlines()
        return line

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "has no images: give 10 or more" in alone("--source", source, "--target", empty)
    one = tmp_path / "one"
    shutil.copytree(source / "disc", one / "disc")
    assert "has one class, 'disc'" in alone("--source", one, "--target", target)
    assert "both in --source" in alone("--source", source, "--target", source)
    copies = tmp_path / "copies"
    shutil.copytree(source, copies)
    assert "there is no gap to cross" in alone("--source", source, "--target", copies)
    foreign = other_kind(tmp_path / "foreign", range(60, 64))
    (foreign / "grain").rename(foreign / "spiral")
    assert "has folders of 'spiral'" in alone("--source", source, "--target", foreign)
    for option in ("--target-labels", "--validation"):
        line = alone("--source", source, "--target", target, option, foreign)
        assert f"{option} has images of 'spiral'" in line
    assert "not one of" in refused("--source", source, "--target", target, "--method", "y", code=2)
    wrong = refused("--source", source, "--target", target, "--end-to-end", "half", code=2)
    assert "lora or full" in wrong
    missing = tmp_path / "nowhere"
    assert "nowhere" in alone("--source", source, "--target", missing)
    assert "nowhere" in alone("--source", missing, "--target", target)


def test_distances_of_folders(clipdex: Run, domains: tuple[Path, Path, Path]) -> None:
    source, target, _ = domains
    (far,) = json_lines(clipdex("adapt", "distance", source, target, "--json"))
    assert far["images"] == [24, 18]
    assert far["mmd"] > far["by_chance"]["mmd"]
    assert far["proxy_a_distance"] == pytest.approx(max(0, 4 * far["domain_accuracy"] - 2))
    table = source.parent / "labels.csv"
    rows = [f"{path},x" for path in sorted(source.rglob("*.png"))]
    table.write_text("path,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (again,) = json_lines(clipdex("adapt", "distance", table, target, "--json"))
    assert again["frechet"] == pytest.approx(far["frechet"], rel=1e-3)
    told = clipdex("adapt", "distance", source, target).stdout.decode()
    assert f"{far['domain_accuracy']:.0%} of the time" in told


@pytest.mark.long
def test_a_tower_is_trained_across(clipdex: Run, domains: tuple[Path, Path, Path]) -> None:
    pytest.importorskip("open_clip")
    source, target, validation = domains
    (made,) = json_lines(
        clipdex(
            *("adapt", "domain", "across", "--source", source, "--target", target),
            *("--end-to-end", "lora", "--epochs", "1", "--validation", validation),
            *("--json", "--force"),
        )
    )
    assert (made["model"], made["kind"]) == ("across", "linear")
    clipdex("index", target, "--model", "across")
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["fingerprint"] == made["fingerprint"]
    found = json_lines(clipdex("label", validation, "--head", "across", "--json"))
    right = [one["labels"][0]["label"] == Path(one["path"]).parent.name for one in found]
    assert np.mean(right) == pytest.approx(made["metrics"]["validation"]["accuracy"])
    assert json.dumps(made["metrics"]["tried"]).count("alpha") == 11
