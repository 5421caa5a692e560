"""Labelled texts: what a file holds, and what is wrong with it in one line."""

import codecs
import csv
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptation.text.examples import check_texts, read_labelled_texts
from indexer.errors import ExamplesError
from support.text_encoders import write_csv

ROWS = [("Ein Hund, groß", "dog"), ('she said "no"', "talk"), ("zwei\nZeilen", "dog")]


def refused(file: Path) -> str:
    with pytest.raises(ExamplesError) as found:
        read_labelled_texts(file)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_csv_and_jsonl_say_the_same(mark: bytes, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ROWS)
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, "", ""]), encoding="utf-8")
    for file in (tmp_path / "a.csv", tmp_path / "a.jsonl"):
        file.write_bytes(mark + file.read_bytes())
        found = read_labelled_texts(file)
        assert found.texts == tuple(text for text, _ in ROWS)
        assert [found.classes[number] for number in found.targets] == ["dog", "talk", "dog"]
        assert found.counts() == {"dog": 2, "talk": 1}
    assert read_labelled_texts(tmp_path / "a.csv").lines == (2, 3, 4)


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label, text\nx,one\n\ny,two\n\n")
    found = read_labelled_texts(tmp_path / "a.csv")
    assert (found.texts, found.classes, found.lines) == (("one", "two"), ("x", "y"), (2, 4))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "has the columns of an empty line"),
        (b"text,label\n", "has no texts"),
        (b"sentence,topic\na,b\n", "columns sentence, topic; it must have text and label"),
        (b"id,text,label\n1,a,b\n", "and no others"),
        (b"text,label\na,x\n,y\n", "line 3: it has no text"),
        (b"text,label\na,x\nb, \n", "line 3: it has no label"),
        (b"text,label\na,x\n,\n", "line 3: it has no text"),
        (b"text,label\na, b,x\n", "line 2: it has 3 values, not 2"),
        (b"text,label\na\n", "line 2: it has 1 values"),
        (b'text,label\n"a,x\n', "is not a CSV file"),
        (b"text,label\na,x\nb,x\n", "all 2 texts have the label 'x'"),
        ("text,label\na,x\nStraße,y\n".encode("latin-1"), "line 3, byte 20 of the file: 0xdf"),
        (codecs.BOM_UTF8 + b"text,label\na\xff,x\n", "line 2, byte 16 of the file: 0xff"),
        ("text,label\na,x\n".encode("utf-16"), "is in UTF-16"),
        ("text,label\na,x\n".encode("utf-16-le"), "line 1, byte 2 of the file: a NUL byte"),
        (b"text,label\na,x\nb\0c,y\n", "line 3, byte 17 of the file: a NUL byte"),
        (b"text,label\na," + b"x" * 201 + b"\n", "its label has 201 characters"),
    ],
)
def test_a_file_that_cannot_be_learned_from_says_where(
    data: bytes, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(data)
    assert why in refused(file)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", 'line 2: it has no "text" and "label"'),
        ('{"text": "a"}', "line 2"),
        ('{"text": 1, "label": "x"}', "line 2"),
        ('{"text": "\\ud800", "label": "x"}', "lone surrogate"),
        ('{"text": " ", "label": "x"}', "it has no text"),
    ],
)
def test_a_line_that_is_no_example_is_named(line: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "label": "x"}\n' + line + "\n")
    assert why in refused(file)


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "is not a CSV" in refused(tmp_path)
    assert "is not a CSV" in refused(tmp_path / "a.txt")
    assert "cannot be read" in refused(tmp_path / "missing.csv")


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1), st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_give_texts_or_the_error(
    tmp_path: Path, rows: list[tuple[str, str]], tail: bytes
) -> None:
    file = tmp_path / "a.csv"
    with open(file, "w", newline="", encoding="utf-8", errors="replace") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    file.write_bytes(file.read_bytes() + tail)
    with suppress(ExamplesError):
        found = read_labelled_texts(file)
        assert all(one.strip() for one in found.texts)
        assert len(found.texts) == len(found.targets) == len(found.lines)


def test_checks_name_what_misleads(tmp_path: Path) -> None:
    same = [("A dog", "dog"), ("a  DOG ", "cat"), ("one", "cat"), ("two", "dog")]
    (found,) = check_texts(read_labelled_texts(write_csv(tmp_path / "a.csv", same)))
    assert found.check == "conflict"
    assert "lines 2 ('dog') and 3 ('cat')" in found.message
    lone = [("a", "x"), ("b", "y"), ("c", "y")]
    (found,) = check_texts(read_labelled_texts(write_csv(tmp_path / "b.csv", lone)))
    assert found.check == "too-few"
    many = [*((f"{n}", "x") for n in range(22)), ("b", "y"), ("c", "y")]
    (found,) = check_texts(read_labelled_texts(write_csv(tmp_path / "c.csv", many)))
    assert found.check == "imbalance"
    known = read_labelled_texts(write_csv(tmp_path / "d.csv", [*lone, ("d", "x")]))
    held = read_labelled_texts(write_csv(tmp_path / "e.csv", [("A", "x"), ("e", "y")]))
    (found,) = check_texts(known, held)
    assert found.check == "leak"


def test_copies_are_one_group(tmp_path: Path) -> None:
    rows = [("A dog", "x"), ("b", "y"), ("a  dog", "x"), ("c", "y")]
    found = read_labelled_texts(write_csv(tmp_path / "a.csv", rows))
    assert found.copies().tolist() == [0, 1, 0, 3]
