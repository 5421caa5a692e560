"""Checks of what is given, made before any image is read."""

import os
from collections.abc import Sequence
from pathlib import Path

from adaptation.data.checks import Finding, named
from indexer.errors import ExamplesError
from indexer.store.paths import display
from indexer.store.rows import Task as File
from search.evaluation.dataset import GroundTruth, read_ground_truth


def classes_of(truth: GroundTruth, source: Path) -> tuple[str, ...]:
    """Return the classes of labelled images, sorted.

    Raises:
        ExamplesError: There are fewer than two.
    """
    found = sorted({label for known in truth.values() for label in known.labels})
    if len(found) < 2:
        raise ExamplesError(
            f"--source {source} has {'one class, ' + repr(found[0]) if found else 'no labels'}: "
            "two classes or more are needed to tell images apart"
        )
    return tuple(found)


def require_known(truth: GroundTruth, classes: Sequence[str], option: str) -> None:
    """Check that labelled images of the target are of the source's classes.

    Raises:
        ExamplesError: One is not.
    """
    found = {label for known in truth.values() for label in known.labels}
    if unknown := sorted(found - set(classes)):
        raise ExamplesError(
            f"{option} has images of {named(unknown)}, which --source has none of: take them out, "
            "or add such images to --source"
        )
    if not found:
        raise ExamplesError(f"{option} has no labels")


def labels_there(target: Path, classes: Sequence[str]) -> GroundTruth | None:
    """Return the labelled images of a target that may have labels; None for a folder without.

    Raises:
        ExamplesError: Some are of other classes.
        GroundTruthError: A file of labels cannot be read.
    """
    if target.is_dir():
        top = {path.name.replace("_", " ") for path in target.iterdir() if path.is_dir()}
        if not top & set(classes):
            return None
    truth = read_ground_truth(target)
    require_known(truth, classes, "--target")
    return truth


def require_apart(
    truth: GroundTruth,
    files: Sequence[File],
    source: Path,
    target: Path,
    names: tuple[str, str] = ("--source", "--target"),
) -> None:
    """Check that source and target, as the command line names them, are different files.

    Raises:
        ExamplesError: Some are the same.
    """
    same = [file for file in files if file.location in truth]
    if same:
        raise ExamplesError(
            f"{len(same):,} {'file is' if len(same) == 1 else 'files are'} both in {names[0]} "
            f"{source} and in {names[1]} {target}, such as {display(same[0].location)}: give the "
            "labelled images to the one and those that want labels to the other"
        )


def require_other_images(digests: Sequence[bytes], others: Sequence[bytes]) -> None:
    """Check that the target is not a copy of the source.

    Raises:
        ExamplesError: Half of the target's images, or more, are images of the source.
    """
    known = set(others)
    same = sum(one in known for one in digests)
    if 2 * same >= len(digests):
        raise ExamplesError(
            f"{same:,} of the {len(digests):,} images of --target are copies of images of "
            "--source: there is no gap to cross, so use `clipdex adapt train`"
        )


def check_folders(target: Path, files: Sequence[File], classes: Sequence[str]) -> list[Finding]:
    """Return what the names of the target's folders say against it.

    Only where one of its folders is called like a class are the others taken for classes.
    """
    top = {os.fsdecode(name).replace("_", " ") for name in map(_first_folder, files) if name}
    foreign = sorted(top - set(classes))
    if not foreign or not top & set(classes):
        return []
    return [
        Finding(
            "foreign-classes",
            f"--target {target} has folders of {named(foreign)}, and --source has no such classes, "
            "so these images would get labels of others: add such images to --source, or take the "
            "folders out of --target",
        )
    ]


def missing_classes(files: Sequence[File], classes: Sequence[str]) -> list[str]:
    """Return the classes of the source that the target, if its folders are classes, has not."""
    top = {os.fsdecode(name).replace("_", " ") for name in map(_first_folder, files) if name}
    return sorted(set(classes) - top) if top & set(classes) else []


def _first_folder(file: File) -> bytes:
    folder, separator, _ = file.path.partition(os.fsencode(os.sep))
    return folder if separator else b""
