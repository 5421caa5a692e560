import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from indexer.errors import ExclusionError
from indexer.scan.exclusions import FORGET, Exclusions, Rules, parse
from indexer.store.rows import Exclusion

TREE = (
    "a.jpg", "b.JPG", "Private/c.jpg", "Private/deep/d.jpg", "trips/Private/e.png",
    "[2024] Trip/f.jpg", "trips/2024/g.jpg", "trips/2024/raw/h.dng", "#recycle/i.jpg",
    "{odd}/j.jpg", "space name/k.jpg", "Genève/l.jpg",
)  # fmt: skip


def of(root: Path, *texts: str) -> Exclusions:
    return Rules([rule for text in texts for rule in parse(text, [root])]).of(os.fsencode(root))


def left_out(root: Path, *texts: str) -> set[str]:
    exclusions = of(root, *texts)
    return {path for path in TREE if exclusions.cover_file(os.fsencode(path))}


PRIVATE = {"Private/c.jpg", "Private/deep/d.jpg"}
EVERY_PRIVATE = PRIVATE | {"trips/Private/e.png"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Private", EVERY_PRIVATE),
        ("Private/", EVERY_PRIVATE),
        ("private", EVERY_PRIVATE),
        ("**/Private/**", EVERY_PRIVATE),
        ("./Private/", EVERY_PRIVATE),
        ("/Private", PRIVATE),
        ("/Private/**", PRIVATE),
        ("ex/Private", PRIVATE),
        ("Private/*", PRIVATE),
        ("trips/private", {"trips/Private/e.png"}),
        ("[2024] Trip", {"[2024] Trip/f.jpg"}),
        ("*.{jpg,png}", {path for path in TREE if path.lower().endswith(("jpg", "png"))}),
        ("#recycle", {"#recycle/i.jpg"}),
        ("{odd}", {"{odd}/j.jpg"}),
        ("space name", {"space name/k.jpg"}),
        ("trips/**/*.dng", {"trips/2024/raw/h.dng"}),
        ("200?", set()),
        ("202?", {"trips/2024/g.jpg", "trips/2024/raw/h.dng"}),
    ],
)
def test_pattern_as_a_person_types_it(text: str, expected: set[str], tmp_path: Path) -> None:
    root = tmp_path / "ex"
    root.mkdir()
    assert left_out(root, text) == expected


def test_paths_count_from_here_and_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "some" / "photos"
    root.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for text in (
        f"{root}/Private",
        f"{root}/Private/",
        "some/photos/Private",
        "./some/photos/Priv*",
    ):
        assert left_out(root, text) == PRIVATE, text
    monkeypatch.chdir(root)
    assert left_out(root, "../photos/Private") == PRIVATE
    (tmp_path / "link").symlink_to(root)
    assert left_out(root, f"{tmp_path}/link/Private") == PRIVATE


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_accents_match_however_they_are_encoded(typed: str, stored: str, tmp_path: Path) -> None:
    exclusions = of(tmp_path, unicodedata.normalize(typed, "Genève/"))
    path = os.fsencode(unicodedata.normalize(stored, "2024/Genève/a.jpg"))
    assert exclusions.cover_file(path)


def test_later_patterns_win(tmp_path: Path) -> None:
    assert left_out(tmp_path, "trips/2024/*", "!trips/2024/g.jpg") == {"trips/2024/raw/h.dng"}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge, and is not installed")
@pytest.mark.parametrize(
    "patterns",
    [
        ["*.jpg"], ["/a.jpg"], ["Private/"], ["trips/*/*.jpg"], ["trips/**/*.dng"], ["**/2024"],
        ["*", "!a.jpg"], ["trips/*", "!trips/2024"], ["[ab].jpg"], [r"\#recycle"], ["?.jpg"],
        ["trips/2024/**"], ["Private/deep"], ["deep/"],
    ],
)  # fmt: skip
def test_rules_are_those_of_git(patterns: list[str], tmp_path: Path) -> None:
    for path in TREE:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(patterns))
    git = ["git", "-c", "core.quotepath=off", "-c", "core.ignorecase=true", "-C", tmp_path]
    listed = subprocess.run(
        [*git, "ls-files", "--others", "--ignored", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert left_out(tmp_path, *patterns) == set(listed.split("\0")) - {"", ".gitignore"}


@pytest.mark.parametrize("text", ["", "/", "./", ".", "!", "  ", "[z-a]", "a\\", "a\0b"])
def test_what_is_not_a_pattern_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ExclusionError, match="not a pattern"):
        parse(text, [tmp_path])


def test_rules_hold_when_a_root_is_taken_in_or_split(tmp_path: Path) -> None:
    rules = Rules(parse("sub/Private", [tmp_path / "a"]))
    inner, outer = tmp_path / "a" / "sub", tmp_path
    assert rules.of(os.fsencode(outer)).cover_file(b"a/sub/Private/x.jpg")
    assert not rules.of(os.fsencode(outer)).cover_file(b"sub/Private/x.jpg")
    assert rules.of(os.fsencode(inner)).cover_file(b"Private/x.jpg")
    assert not rules.of(os.fsencode(tmp_path / "b")).cover_file(b"sub/Private/x.jpg")


def test_forgotten_paths_are_themselves_only(tmp_path: Path) -> None:
    gone = Exclusion(b"", os.fsencode(tmp_path / "a.jpg"), FORGET)
    exclusions = Rules([gone]).of(os.fsencode(tmp_path))
    assert exclusions.cover_file(b"a.jpg")
    assert not exclusions.cover_file(b"A.JPG")
    assert not exclusions.cover_file(b"b/a.jpg")
    assert exclusions.used == {gone}
