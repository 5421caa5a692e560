"""Labelled texts, read from a CSV or JSONL file and checked before anything is encoded."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adaptation.data.checks import Finding, imbalance, too_few
from adaptation.task import Scenes, Targets
from indexer.errors import ExamplesError
from indexer.json_files import parse_json
from indexer.text_files import read_bytes

MAX_MEGABYTES = 1_000
# Far above the longest text that any tower reads.
MAX_CHARACTERS = 1_000_000
MAX_LABEL = 200
COLUMNS = ("text", "label")
FORMS = 'a CSV with the header text,label, or JSONL with {"text": ..., "label": ...} on each line'
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with one label each.

    Attributes:
        texts: The texts.
        targets: `(n,)`, numbers of `classes`.
        classes: The names, sorted.
        lines: Where each text is in its file, from 1.
    """

    texts: tuple[str, ...]
    targets: Targets
    classes: tuple[str, ...]
    lines: tuple[int, ...]

    def counts(self) -> dict[str, int]:
        """Return the number of texts of each class."""
        found = np.bincount(self.targets, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, found, strict=True))

    def copies(self) -> Scenes:
        """Return `(n,)`, equal for texts that differ in case and white space at most."""
        first: dict[str, int] = {}
        own = [first.setdefault(same(text), row) for row, text in enumerate(self.texts)]
        return np.array(own, np.int64)


def same(text: str) -> str:
    """Return a text without what makes no other text of it: case and white space."""
    return " ".join(text.casefold().split())


def read_labelled_texts(source: Path, classes: tuple[str, ...] | None = None) -> LabelledTexts:
    """Read labelled texts.

    Args:
        source: A CSV or JSONL file in UTF-8.
        classes: The allowed classes in their order; by default those that occur, sorted.

    Raises:
        ExamplesError: It cannot be read or parsed, or has fewer than two classes; the message names
            the line.
    """
    kind = source.suffix.lower()
    if source.is_dir() or kind not in (".csv", ".jsonl", ".ndjson"):
        raise ExamplesError(f"{source} is not {FORMS}")
    text = _decoded(source)
    try:
        read = _of_csv(source, text) if kind == ".csv" else _of_jsonl(source, text)
        rows = list(read)
    except csv.Error as exc:
        raise ExamplesError(f"{source} is not a CSV file: {exc}") from exc
    if not rows:
        raise ExamplesError(f"{source} has no texts; it should be {FORMS}")
    found = {label for _, label, _ in rows}
    if classes is None:
        classes = tuple(sorted(found))
        if len(classes) < 2:
            raise ExamplesError(
                f"{source}: all {len(rows):,} texts have the label {classes[0]!r}, and a "
                "classifier needs texts of at least two"
            )
    for _, label, line in rows:
        if label not in classes:
            raise ExamplesError(
                f"{source}, line {line}: {label!r} is not one of the classes that are learned"
            )
    numbers = {name: number for number, name in enumerate(classes)}
    return LabelledTexts(
        tuple(one for one, _, _ in rows),
        np.array([numbers[label] for _, label, _ in rows], np.int64),
        classes,
        tuple(line for _, _, line in rows),
    )


def check_texts(examples: LabelledTexts, validation: LabelledTexts | None = None) -> list[Finding]:
    """Return what makes a classifier worse than its metrics say, the most serious first."""
    counts = examples.counts()
    found = [
        _conflict(examples),
        _leak(examples, validation),
        too_few(counts),
        imbalance(counts),
    ]
    return [one for one in found if one is not None]


def _conflict(examples: LabelledTexts) -> Finding | None:
    copies = examples.copies()
    twice = np.flatnonzero(examples.targets != examples.targets[copies])
    if not len(twice):
        return None
    row = int(twice[0])
    other = int(copies[row])
    one, two = (examples.classes[examples.targets[at]] for at in (other, row))
    return Finding(
        "conflict",
        f"{_texts(len(twice))} the same as another of a different class, such as lines "
        f"{examples.lines[other]} ({one!r}) and {examples.lines[row]} ({two!r}): leave each in "
        "one class",
    )


def _leak(examples: LabelledTexts, validation: LabelledTexts | None) -> Finding | None:
    if validation is None:
        return None
    known = {same(text): line for text, line in zip(examples.texts, examples.lines, strict=True)}
    leaks = [
        (line, known[same(text)])
        for text, line in zip(validation.texts, validation.lines, strict=True)
        if same(text) in known
    ]
    if not leaks:
        return None
    return Finding(
        "leak",
        f"{_texts(len(leaks))} both in the validation data and in what is learned from, such as "
        f"lines {leaks[0][0]} and {leaks[0][1]}: take them out of one of the two",
    )


def _texts(count: int) -> str:
    return "1 text is" if count == 1 else f"{count:,} texts are"


def _decoded(source: Path) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark."""
    try:
        data = read_bytes(source, megabytes=MAX_MEGABYTES)
    except OSError as exc:
        raise ExamplesError(f"{source} cannot be read: {exc.strerror or exc}") from exc
    if data.startswith(UTF_16):
        raise ExamplesError(
            f"{source} is in UTF-16, as its first two bytes say, and UTF-8 is expected: save it as "
            f"UTF-8, such as with `iconv -f UTF-16 -t UTF-8`"
        )
    if (at := data.find(b"\0")) >= 0:
        raise ExamplesError(
            f"{_place(source, data, at)}: a NUL byte, which no text has: it may be in UTF-16 or "
            "damaged, and UTF-8 is expected"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        # The codec counts from behind the byte order mark.
        at = exc.start + 3 * data.startswith(codecs.BOM_UTF8)
        raise ExamplesError(
            f"{_place(source, data, at)}: {data[at]:#04x} is not UTF-8, which is expected: if the "
            "file is in Latin-1, convert it, such as with `iconv -f LATIN1 -t UTF-8`"
        ) from exc


def _place(source: Path, data: bytes, at: int) -> str:
    line = data.count(b"\n", 0, at) + 1
    return f"{source}, line {line}, byte {at + 1} of the file"


Row = tuple[str, str, int]
"""A text, its label, and its line."""


def _of_csv(source: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if sorted(header) != sorted(COLUMNS):
        raise ExamplesError(
            f"{source} has the columns {', '.join(header)[:200] or 'of an empty line'}; it must "
            f"have {' and '.join(COLUMNS)}, and no others"
        )
    at = [header.index(name) for name in COLUMNS]
    line = reader.line_num + 1
    for row in reader:
        if row:
            if len(row) != len(header):
                raise ExamplesError(
                    f"{source}, line {line}: it has {len(row)} values, not {len(header)}; a text "
                    'with a comma or a line break in it stands between quotes (")'
                )
            yield _checked(source, line, row[at[0]], row[at[1]])
        line = reader.line_num + 1


def _of_jsonl(source: Path, text: str) -> Iterator[Row]:
    for line, one in enumerate(io.StringIO(text, newline=None), start=1):
        if not one.strip():
            continue
        try:
            row = parse_json(one)
        except ValueError as exc:
            raise ExamplesError(f"{source}, line {line} is not JSON: {exc}") from exc
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in COLUMNS):
            raise ExamplesError(
                f'{source}, line {line}: it has no "text" and "label", each between quotes'
            )
        yield _checked(source, line, row["text"], row["label"])


def _checked(source: Path, line: int, text: str, label: str) -> Row:
    text, label = text.strip(), label.strip()
    place = f"{source}, line {line}"
    for key, value, most in (("text", text, MAX_CHARACTERS), ("label", label, MAX_LABEL)):
        if not value:
            raise ExamplesError(f"{place}: it has no {key}")
        if len(value) > most:
            raise ExamplesError(f"{place}: its {key} has {len(value):,} characters, above {most:,}")
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise ExamplesError(f"{place}: its {key} holds a lone surrogate") from exc
    return text, label, line
