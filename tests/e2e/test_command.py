"""The installed command against section 5 of the design: outputs, exit codes, places."""

import base64
import csv
import io
import os
import shutil
from pathlib import Path

import pytest

from support.command import Run, json_lines
from support.images import make_photo

INDEX_KEYS = ["indexed", "reused", "unchanged", "removed", "failed", "seconds", "images_per_second"]


def test_the_right_photo_comes_first(clipdex: Run, photos_indexed: tuple[Path, Path]) -> None:
    _, collection = photos_indexed
    for words, name in [
        (["a", "cat"], "chelsea.png"),
        (["a cup of coffee"], "coffee.png"),
        (["a rocket launch"], "rocket.jpg"),
    ]:
        hits = json_lines(clipdex("search", *words, "--json", "--collection", collection))
        assert Path(hits[0]["path"]).name == name
        assert [hit["rank"] for hit in hits] == list(range(1, 7))
        assert sorted(hits, key=lambda hit: -hit["score"]) == hits
        assert list(hits[0]) == [
            "rank", "id", "path", "paths", "score", "relevance", "taken_at", "width", "height"
        ]  # fmt: skip


def test_images_and_mixtures_are_queries_too(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    photos, collection = photos_indexed
    cat = photos / "chelsea.png"
    itself = json_lines(
        clipdex("search", "--image", cat, "-k", 1, "--json", "--collection", collection)
    )
    assert itself[0]["path"] == str(cat)
    assert itself[0]["score"] == pytest.approx(1, abs=1e-3)
    similar = json_lines(clipdex("similar", cat, "--json", "--collection", collection))
    assert len(similar) == 5
    assert str(cat) not in [hit["path"] for hit in similar]
    scores = {}
    for arguments in (
        [],
        ["--not", "a cat"],
        ["--image", photos / "coffee.png"],
        ["--image", photos / "coffee.png", "--weight", 0.01],
        ["--not-image", photos / "chelsea.png"],
    ):
        hits = json_lines(
            clipdex("search", "a kitten", *arguments, "--json", "--collection", collection)
        )
        scores[len(scores)] = {Path(hit["path"]).name: hit["score"] for hit in hits}
    plain, without, mixed, light, unlike = scores.values()
    assert max(plain, key=plain.__getitem__) == "chelsea.png"
    assert without["chelsea.png"] < plain["chelsea.png"] - 0.1
    assert max(mixed, key=mixed.__getitem__) == "coffee.png"
    assert light == {name: pytest.approx(score, abs=0.02) for name, score in plain.items()}
    assert unlike["chelsea.png"] < plain["chelsea.png"] - 0.1


def test_each_output_form_names_the_same_hits(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    _, collection = photos_indexed
    ask = ("search", "a cat", "-k", 3, "--collection", collection)
    paths = [hit["path"] for hit in json_lines(clipdex(*ask, "--json"))]
    assert clipdex(*ask, "--paths").stdout == "".join(f"{p}\n" for p in paths).encode()
    assert clipdex(*ask, "--print0").stdout == "".join(f"{p}\0" for p in paths).encode()
    rows = list(csv.DictReader(io.StringIO(clipdex(*ask, "--csv").stdout.decode())))
    assert [row["path"] for row in rows] == paths
    assert list(rows[0]) == ["rank", "id", "path", "score", "relevance"]
    plain = clipdex(*ask).stdout.decode().splitlines()
    assert [line.split("\t")[1] for line in plain] == paths
    rest = json_lines(clipdex(*ask[:2], "-k", 2, "--offset", 1, *ask[4:], "--json"))
    assert [(hit["rank"], hit["path"]) for hit in rest] == [(2, paths[1]), (3, paths[2])]
    assert clipdex(*ask[:2], "--offset", 99, *ask[4:], "--json").stdout == b""


def test_labels_name_what_is_in_each_image(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    photos, collection = photos_indexed
    labels = tmp_path / "labels.txt"
    labels.write_text("a cat\na cup of coffee\na rocket\n")
    for arguments in ([], [photos]):
        rows = json_lines(
            clipdex("label", *arguments, "--labels-file", labels, "--json", "--collection",
                    collection)
        )  # fmt: skip
        best = {Path(row["path"]).name: row["labels"][0]["label"] for row in rows}
        assert best["chelsea.png"] == "a cat"
        assert best["coffee.png"] == "a cup of coffee"
        assert best["rocket.jpg"] == "a rocket"
        for row in rows:
            assert set(row) == {"path", "labels", "none"}
            assert sum(entry["probability"] for entry in row["labels"]) == pytest.approx(
                1, abs=1e-4
            )
    alone = clipdex("label", photos / "chelsea.png", "--labels", "cat,dog", "--top", 1, "--csv")
    assert alone.stdout.decode().splitlines()[0] == "path,label,probability,none,relevance"
    assert ",cat,0." in alone.stdout.decode()


def test_status_tells_what_is_there(clipdex: Run, photos_indexed: tuple[Path, Path]) -> None:
    photos, collection = photos_indexed
    (status,) = json_lines(clipdex("status", "--json", "--collection", collection))
    assert status["images"] == status["contents"] == 6
    assert status["failed"] == 0
    assert status["model"] == "pocket"
    assert status["dim"] == 512
    assert status["index"] == {"kind": "flat", "recall_at_10": 1.0}
    assert status["roots"] == [str(photos)]
    assert status["collection"] == str(collection)


def test_the_place_of_a_collection(clipdex: Run, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photos" / "a.png", 1)
    clipdex("index", photo.parent, "--collection", tmp_path / "named")
    assert (tmp_path / "named" / "catalogue.sqlite3").is_file()
    clipdex("index", photo.parent)
    assert (tmp_path / "collection" / "catalogue.sqlite3").is_file()
    (tmp_path / "photos" / ".clipdex").mkdir()
    deep = tmp_path / "photos" / "deep" / "er"
    deep.mkdir(parents=True)
    unset = {"CLIPDEX_COLLECTION": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    clipdex("index", photo.parent, cwd=deep, env=unset)
    assert (tmp_path / "photos" / ".clipdex" / "catalogue.sqlite3").is_file()
    clipdex("index", photo.parent, env=unset)
    assert list((tmp_path / "data").rglob("catalogue.sqlite3"))


def test_errors_are_one_line_with_an_exit_code(clipdex: Run, tmp_path: Path) -> None:
    for arguments, code, words in [
        (("search", "a dog"), 1, "clipdex index FOLDER"),
        (("status",), 1, "nothing was indexed yet"),
        (("index", "nowhere"), 1, "nowhere is not there"),
        (("index", ".", "--model", "no-such-model"), 1, "no such model: 'no-such-model'"),
        (("index", ".", "--device", "mps"), 1, "--device cpu"),
        (("label", "nowhere.jpg", "--labels", "a"), 1, "nowhere.jpg cannot be read"),
        (("search",), 2, "--image"),
        (("search", "a", "-k", "0"), 2, "-k"),
        (("search", "a", "--json", "--csv"), 2, "choose one"),
        (("label", ".", "--labels", " , "), 2, "no labels"),
        (("label", "."), 2, "--labels"),
        (("label", ".", "--labels", "a", "--template", "x"), 2, "{}"),
        (("index",), 2, "PATH"),
        (("bogus",), 2, "bogus"),
    ]:
        done = clipdex(*arguments, code=code)
        message = done.stderr.decode()
        assert words in message
        assert done.stdout == b""
        assert "Traceback" not in message
        if code == 1:
            assert message.startswith("error: ")
            assert message.count("\n") == 1
    assert b"Traceback" in clipdex("--debug", "search", "a dog", code=1).stderr


def test_bad_query_images_are_named(clipdex: Run, tmp_path: Path) -> None:
    clipdex("index", make_photo(tmp_path / "photos" / "a.png", 1).parent)
    (tmp_path / "notes.jpg").write_text("hello")
    for command in (("similar", "notes.jpg"), ("search", "--image", "notes.jpg")):
        message = clipdex(*command, code=1).stderr.decode()
        assert message == "error: notes.jpg: not an image of a format that clipdex reads\n"
    assert b"missing.jpg: cannot be read" in clipdex("similar", "missing.jpg", code=1).stderr


def test_undecodable_paths_are_printed_as_bytes(clipdex: Run, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photos" / "a.png", 1)
    name = os.path.join(os.fsencode(photo.parent), b"caf\xe9.png")
    os.rename(photo, name)
    clipdex("index", photo.parent)
    (hit,) = json_lines(clipdex("search", "colours", "--json"))
    assert hit["path"].endswith("caf\ufffd.png")
    assert base64.b64decode(hit["path_b64"]) == name
    assert clipdex("search", "colours", "--print0").stdout == name + b"\0"
    assert json_lines(clipdex("similar", name, "--json")) == []
    assert b"1 files forgotten" in clipdex("forget", name).stdout


def test_an_undecodable_query_is_answered(clipdex: Run, photos_indexed: tuple[Path, Path]) -> None:
    _, collection = photos_indexed
    done = clipdex("search", b"caf\xe9", "\U0001f408", "--json", "--collection", collection)
    assert len(json_lines(done)) == 6


def test_one_content_is_one_hit_with_all_its_paths(
    clipdex: Run, sample_photos: Path, tmp_path: Path
) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(sample_photos / "chelsea.png", tmp_path / "photos" / name)
    (report,) = json_lines(clipdex("index", "photos", "--json"))
    assert list(report) == INDEX_KEYS
    assert (report["indexed"], report["reused"]) == (1, 1)
    (hit,) = json_lines(clipdex("search", "a cat", "--json"))
    assert [Path(path).name for path in hit["paths"]] == ["one.png", "two.png"]


def test_python_cli_py_works_too(clipdex: Run, tmp_path: Path) -> None:
    import subprocess
    import sys

    from support.command import REPOSITORY

    make_photo(tmp_path / "photos" / "a.png", 1)
    done = subprocess.run(
        [sys.executable, REPOSITORY / "cli.py", "index", "photos", "--collection", "c"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"1 indexed")


def test_version_and_models(clipdex: Run) -> None:
    assert clipdex("--version").stdout.startswith(b"clipdex 0.")
    model, second, *others = json_lines(clipdex("models", "list", "--json"))
    assert (model["name"], model["dim"], model["here"]) == ("pocket", 512, True)
    assert (second["name"], second["here"]) == ("pocket-v0", True)
    assert others
    assert not any(other["here"] for other in others)
    assert all(other["licence"] and other["bytes"] for other in others)


def test_a_collection_of_the_former_model_moves_on(
    clipdex: Run, sample_photos: Path, tmp_path: Path
) -> None:
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(sample_photos / name, tmp_path / "photos")
    clipdex("index", "photos", "--model", "pocket-v0")
    first = json_lines(clipdex("status", "--json"))[0]
    clipdex("index", "photos", "--model", "pocket")
    second = json_lines(clipdex("status", "--json"))[0]
    assert (first["model"], second["model"]) == ("pocket-v0", "pocket")
    assert first["fingerprint"] != second["fingerprint"]
    for query, name in (("a cat", "chelsea"), ("coffee", "coffee"), ("a rocket", "rocket")):
        hits = json_lines(clipdex("search", query, "--json"))
        assert Path(hits[0]["path"]).stem == name
        assert hits[0]["relevance"] > 0.4
    # It is there without a trial or a download, and its estimate is its own.
    assert json_lines(clipdex("models", "verify", "pocket-v0", "--json"))[0]["good"]
