"""Reads the labels or captions of a user's own images from a folder, a CSV file or JSONL."""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from indexer.errors import GroundTruthError
from indexer.json_files import parse_json
from indexer.scan.walk import Found, walk
from indexer.text_files import read_text

# Of a CSV or JSONL file: millions of images.
MAX_MEGABYTES = 1_000

FORMS = (
    "a folder with one folder per class, a CSV with the header path,label or path,caption, or "
    'JSONL with {"image": ..., "label" or "labels" or "captions": ...} on each line'
)


@dataclass
class Known:
    """What is known about one image: any of its labels is right, each caption describes it."""

    labels: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)


GroundTruth = dict[bytes, Known]
"""By the images' absolute paths, in the order of the data."""


def read_ground_truth(source: Path | str) -> GroundTruth:
    """Read the images that a source names, whether they exist or not.

    Args:
        source: A folder with one folder per class, or a CSV or JSONL file. Relative paths in a file
            start from its folder.

    Raises:
        GroundTruthError: The source cannot be read or parsed; the message names the line.
    """
    source = Path(source)
    try:
        if source.is_dir():
            rows = _of_folders(source)
        elif source.suffix.lower() == ".csv":
            rows = _of_csv(source)
        elif source.suffix.lower() in (".jsonl", ".ndjson"):
            rows = _of_jsonl(source)
        else:
            raise GroundTruthError(f"{source} is not {FORMS}")
        truth: GroundTruth = {}
        for path, labels, captions in rows:
            known = truth.setdefault(path, Known())
            known.labels += [label for label in labels if label not in known.labels]
            known.captions += captions
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise GroundTruthError(f"{source} cannot be read: {exc}") from exc
    if not truth:
        raise GroundTruthError(f"{source} names no images; it should be {FORMS}")
    return truth


Row = tuple[bytes, list[str], list[str]]


def _of_folders(source: Path) -> Iterator[Row]:
    folder = os.fsencode(os.path.abspath(source))
    for entry in walk(Path(os.path.abspath(source))):
        path = entry.path
        name, separator, _ = path.partition(os.fsencode(os.sep))
        if separator and isinstance(entry, Found):
            # "water_lily" is a safer name for a folder than that of its class, "water lily".
            label = name.decode("utf-8", "replace").replace("_", " ")
            yield os.path.join(folder, path), [label], []


def _of_csv(source: Path) -> Iterator[Row]:
    with io.StringIO(read_text(source, megabytes=MAX_MEGABYTES), newline="") as file:
        reader = csv.DictReader(file, strict=True)
        header = [name.strip() for name in reader.fieldnames or ()]
        if "path" not in header or not {"label", "caption"} & set(header):
            raise GroundTruthError(
                f"{source} has the header {','.join(header)!r}; it must be path,label or "
                "path,caption"
            )
        reader.fieldnames = header
        for row in reader:
            if not row["path"] or not ((row.get("label") or row.get("caption") or "").strip()):
                raise GroundTruthError(
                    f"{source}, line {reader.line_num}: it needs a path and a label or caption"
                )
            labels, captions = (
                [value.strip()] if (value := row.get(key)) and value.strip() else []
                for key in ("label", "caption")
            )
            yield _location(source, row["path"]), labels, captions


def _of_jsonl(source: Path) -> Iterator[Row]:
    with io.StringIO(read_text(source, megabytes=MAX_MEGABYTES), newline=None) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{source}, line {number}"
            try:
                row = parse_json(line)
            except ValueError as exc:
                raise GroundTruthError(f"{place} is not JSON: {exc}") from exc
            image = row.get("image") if isinstance(row, dict) else None
            if not isinstance(image, str) or not image:
                raise GroundTruthError(f'{place} has no "image", the path of an image')
            labels = _texts(row, "labels", place) + _texts(row, "label", place)
            captions = _texts(row, "captions", place) + _texts(row, "caption", place)
            if not labels and not captions:
                raise GroundTruthError(f'{place} has neither "label", "labels" nor "captions"')
            yield _location(source, image), labels, captions


def _texts(row: dict[str, Any], key: str, place: str) -> list[str]:
    value = row.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise GroundTruthError(f'{place}: "{key}" is neither a text nor a list of texts')
    return [text.strip() for text in values if text.strip()]


def _location(source: Path, path: str) -> bytes:
    return os.fsencode(os.path.normpath(os.path.join(os.path.abspath(source.parent), path)))
