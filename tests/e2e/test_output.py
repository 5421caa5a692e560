"""What is printed, whatever the names, the encoding, the stream and the user are."""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.command import COMMAND, Run, json_lines
from support.images import make_photo
from support.terminal import in_terminal

# What a terminal would obey, what forges a line or a column, what a spreadsheet would run.
NAMES = {
    b"a\nb.png": "a\\nb.png",
    b"esc\x1b[31mred.png": "esc\\x1b[31mred.png",
    "c1\u009b31m.png".encode(): "c1\\x9b31m.png",
    "bidi\u202egpj.png".encode(): "bidi\\u202egpj.png",
    b"ta\tb.png": "ta\\tb.png",
    b"carriage\rreturn.png": "carriage\\rreturn.png",
    "caf\u00e9 \U0001f408\u200d\u2b1b.png".encode(): "caf\u00e9 \U0001f408\u200d\u2b1b.png",
}
COMMANDS = ("search cat", "status", "tags list", "models list", "--help", "--version",
            "label --labels a,b", "adapt list", "duplicates", "search cat --json")  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(photos, collection) whose files have the names above."""
    base = tmp_path_factory.mktemp("odd").resolve()
    photos = base / "photos"
    for number, name in enumerate(NAMES):
        photo = make_photo(photos / "next.png", number)
        os.rename(photo, os.path.join(os.fsencode(photos), name))
    (photos / "broken\x1b]0;title\x07.png").write_text("no image")
    done = subprocess.run(
        [COMMAND, "index", photos, "--collection", base / "c"], capture_output=True
    )
    assert done.returncode == 3
    assert b"\x1b" not in done.stderr
    assert b"broken\\x1b]0;title\\x07.png: " in done.stderr
    return photos, base / "c"


def test_lines_for_people_hold_no_control_characters(clipdex: Run, odd: tuple[Path, Path]) -> None:
    photos, collection = odd
    shown = {f"{photos}/{name}" for name in NAMES.values()}
    for command in (["search", "x"], ["label", "--labels", "a,b"]):
        lines = clipdex(*command, "--collection", collection).stdout.decode().splitlines()
        assert {part for line in lines for part in line.split("\t")} >= shown
        assert len(lines) == len(NAMES)
    status = clipdex("status", "--collection", collection).stdout
    assert b"broken\\x1b]0;title\\x07.png: " in status
    # The words of users, and of errors.
    wrong = clipdex("label", "--labels-file", "no\x1b[2Jsuch", code=2)
    assert b"\x1b" not in wrong.stderr
    wrong = clipdex("similar", "no\x1b[2Jsuch\u202e.png", "--collection", collection, code=1)
    assert wrong.stderr.startswith(b"error: no\\x1b[2Jsuch\\u202e.png: ")


def test_other_forms_stay_what_they_are(clipdex: Run, odd: tuple[Path, Path]) -> None:
    photos, collection = odd
    ask = ("search", "x", "--collection", collection)
    raw = {os.path.join(os.fsencode(photos), name) for name in NAMES}
    assert set(clipdex(*ask, "--print0").stdout.split(b"\0")) == {*raw, b""}
    found = json_lines(clipdex(*ask, "--json"))
    assert {hit["path"].encode() for hit in found} == raw
    assert not {"\x1b", "\x9b", "\u202e"} & set(clipdex(*ask, "--json").stdout.decode())
    rows = list(csv.DictReader(io.StringIO(clipdex(*ask, "--csv").stdout.decode(), newline="")))
    assert {row["path"].encode() for row in rows} == raw


def test_csv_holds_no_formulas(clipdex: Run, tmp_path: Path) -> None:
    photos = make_photo(tmp_path / "photos" / "a.png", 1).parent
    clipdex("index", photos)
    labels = ["=1+1", "+cmd", "-x", "@sum", "plain", "-5"]
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    done = clipdex("label", "--labels-file", "labels.txt", "--top", 9, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert {row["label"] for row in rows} == {"'=1+1", "'+cmd", "'-x", "'@sum", "plain", "-5"}
    clipdex("tags", "add", "=HYPERLINK(1)", photos)
    assert b",'=HYPERLINK(1),1.000000," in clipdex("tags", "export", "--csv").stdout


def test_a_terminal_sees_no_control_characters(odd: tuple[Path, Path]) -> None:
    _, collection = odd
    for form in ([], ["--csv"], ["--json"]):
        shown = in_terminal("search", "x", "--collection", collection, *form)
        assert b"red.png" in shown
        assert b"\x1b[31m" not in shown
        assert "\u009b31m" not in shown.decode()
        assert "\u202e" not in shown.decode()


# The terminal's commands: colours, and links with what they open.
STYLE = re.compile(r"\x1b\[[0-9;]*m")
LINK = re.compile(r"\x1b\]8;[^;]*;([^\x1b]*)\x1b\\")


def table(*arguments: object, **options: Any) -> list[str]:
    """The lines of the table in a terminal, in which links are allowed."""
    shown = in_terminal(*arguments, TERM="xterm-256color", **options).decode()
    return STYLE.sub("", shown).splitlines()


@pytest.fixture
def album(clipdex: Run, tmp_path: Path) -> Path:
    """A folder of photos with a date in their names, which the collection here holds."""
    long = "a view from the tower in the evening of a long day in the summer"
    for seed, name in enumerate((f"{long} IMG_20240714_170311.png", "-x.png", "b.png")):
        make_photo(tmp_path / "photos" / "2024" / "Italy" / name, seed)
    os.utime(tmp_path / "photos" / "2024" / "Italy" / "b.png", (1e9, 1e9))
    clipdex("index", tmp_path / "photos")
    return tmp_path.resolve() / "photos" / "2024" / "Italy"


def test_a_terminal_shows_short_paths_and_dates(album: Path, tmp_path: Path) -> None:
    ask = ("search", "x", "--collection", tmp_path / "collection")
    for cwd, prefix in (
        (tmp_path, "photos/2024/Italy/"),
        (album, ""),
        (album.parent.parent / "..", "photos/2024/Italy/"),
        (Path("/"), str(album)[1:] + "/"),
        (Path("/usr/share/doc/none").parent, f"{album}/"),
    ):
        lines = "\n".join(table(*ask, cwd=cwd, COLUMNS="300"))
        for name, day in (("b.png", "2001-09-0"), ("IMG_20240714_170311.png", "2024-07-14")):
            assert re.search(rf"%  .*{name} +{day}", LINK.sub("", lines)), lines
        assert f"%  {prefix}b.png " in LINK.sub("", lines)
        assert (f"%  {prefix or './'}-x.png ") in LINK.sub("", lines)
        assert set(LINK.findall(lines)) >= {(album / "b.png").as_uri(), ""}
    # A path is shortened in no other form.
    for form in ("--json", "--csv", "--paths"):
        shown = in_terminal(*ask, form, cwd=album)
        assert f"{album}/b.png".encode() in shown


@pytest.mark.parametrize("width", [80, 60, 40])
def test_the_table_fits(album: Path, tmp_path: Path, width: int) -> None:
    ask = ("search", "x", "--collection", tmp_path / "collection")
    lines = [LINK.sub("", line) for line in table(*ask, cwd=tmp_path, COLUMNS=str(width))]
    lines = lines[: next(at for at, line in enumerate(lines) if "match" in line and at)]  # the note
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if re.match(r" *[123]  ", line)]
    assert len(rows) == 3
    for row in rows:
        assert bool(re.search(r"  \d{4}-\d\d-\d\d", row)) == (width >= 60)
        assert row.rstrip().endswith(" x 72") == (width == 80)
        assert re.match(r" *[123]  -?0\.\d{3} +\d+%  \S{3}", row)


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda locale: next(iter(locale.values())),
)
def test_any_encoding_of_stdout_will_do(
    clipdex: Run, odd: tuple[Path, Path], locale: dict[str, str]
) -> None:
    photos, collection = odd
    ask = ("search", "caf\u00e9", "--collection", collection)
    assert len(clipdex(*ask, env=locale).stdout.splitlines()) == len(NAMES)
    found = json_lines(clipdex(*ask, "--json", env=locale))
    paths = {os.path.join(os.fsencode(photos), name).decode() for name in NAMES}
    assert {hit["path"] for hit in found} == paths
    # The query is the same, whatever Python made of its bytes.
    assert found == json_lines(clipdex(*ask, "--json"))
    assert clipdex(*ask, "--csv", env=locale).stdout
    clipdex("models", "list", env=locale)
    clipdex("search", "x", "--in", "caf\u00e9", "--collection", collection, code=1, env=locale)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_stream_that_takes_nothing_is_an_error(odd: tuple[Path, Path], command: str) -> None:
    environment = {**os.environ, "CLIPDEX_COLLECTION": str(odd[1])}

    def run(redirect: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", "-c", f'"{COMMAND}" {command} {redirect}'], env=environment, capture_output=True
        )
        return done.returncode, done.stderr.decode()

    empty = command in ("tags list", "adapt list", "duplicates")
    if Path("/dev/full").exists() and not empty:
        code, said = run("> /dev/full")
        assert (code, said.count("\n")) == (1, 1), said
        assert "No space left" in said
    code, said = run(">&-")
    assert code == (0 if empty else 1), said
    assert said.startswith("no duplicates" if command == "duplicates" else "error: "[: 7 * code])
    assert "Traceback" not in said
    assert run("> /dev/null 2>&-")[0] == 0
    assert run("> /dev/null 2> /dev/full")[0] == 0
    code, said = run("| head -n 1 > /dev/null")
    assert code == 0
    assert "Traceback" not in said
    assert "error" not in said


def test_the_current_folder_may_be_gone(odd: tuple[Path, Path]) -> None:
    photos, collection = odd
    for command, code in (
        (["search", "x", "--collection", str(collection)], 0),
        (["similar", str(photos / "a\nb.png"), "--collection", str(collection)], 0),
        (["search", "x", "--collection", "here"], 1),
        (["forget", "photos", "--collection", str(collection)], 1),
    ):
        script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
        done = subprocess.run(
            ["sh", "-c", script, "sh", COMMAND, *command], capture_output=True, cwd=collection
        )
        assert done.returncode == code, done.stderr
        if code:
            assert b"the current folder was deleted" in done.stderr
            assert done.stderr.count(b"\n") == 1


def test_a_user_without_a_home_is_told_what_to_name(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become an unknown user, with setpriv")
    photos = make_photo(tmp_path / "photos" / "a.png", 1).parent
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    (tmp_path / "work").mkdir()
    (tmp_path / "work").chmod(0o777)
    unknown = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    environment = {"PATH": os.environ["PATH"]}

    def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*unknown, sys.executable, COMMAND, *map(str, arguments)],
            cwd=tmp_path / "work",
            env=environment,
            capture_output=True,
        )

    for command, named in (
        (["index", photos], b"--collection"),
        (["search", "x"], b"--collection"),
        (["models", "list"], b"$CLIPDEX_CACHE"),
    ):
        done = run(*command)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith(b"error: this user has no home folder")
        assert named in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert run("index", photos, "--collection", "c").returncode == 0
    assert run("search", "x", "--collection", "c").returncode == 0
    assert [entry.name for entry in (tmp_path / "work").iterdir()] == ["c"]


def test_text_files_may_begin_with_a_mark(clipdex: Run, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png", 1)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "labels.txt").write_text("caf\u00e9\r\ncat\r\n", encoding=encoding)
        (row,) = json_lines(clipdex("label", photo, "--labels-file", "labels.txt", "--json"))
        assert {entry["label"] for entry in row["labels"]} == {"caf\u00e9", "cat"}
    (tmp_path / "truth.csv").write_text("path,label\na.png,cat\n", encoding="utf-8-sig")
    clipdex("eval", "truth.csv", "--json")
