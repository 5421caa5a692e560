"""The command `clipdex demo`."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from indexer.errors import ClipdexError

from .console import handle_errors, out

# Where two packages on PyPI have photos that anyone may use.
SOURCES = (("skimage", "data"), ("sklearn", "datasets/images"))
SUFFIXES = (".jpg", ".png")
QUERIES = ("a cat", "a cup of coffee", "a rocket launch", "an astronaut", "coins", "a flower")
LABELS = "a cat,a cup of coffee,a rocket,an astronaut,coins,a flower,a temple,a page of text"


class NoSamplePhotos(ClipdexError):
    """Neither package with sample photos is installed."""


class DemoFolderUnwritable(ClipdexError):
    """The sample photos cannot be copied."""


@handle_errors
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to put the photos and the collection.")
    ] = Path("clipdex-demo"),
) -> None:
    """Index sample photos and search them, step by step.

    The photos come with scikit-image and scikit-learn; nothing is downloaded.

    Example: clipdex demo
    """
    photos, collection = folder / "photos", folder / ".clipdex"
    count = _copy_photos(photos)
    out(f"1. {count} sample photos of scikit-image and scikit-learn are in {photos}")

    from indexer import build
    from search import Engine
    from search.labels.apply import label_collection
    from search.labels.zero_shot import Labeller

    out()
    out("2. Indexing reads each photo once and stores its CLIP vector:")
    out(f"   $ clipdex index {photos} --collection {collection}")
    report = build([photos], collection=collection)
    out(
        f"   {report.indexed} indexed, {report.unchanged} unchanged, {report.failed} failed, "
        f"in {report.seconds:.1f} s"
    )
    out()
    out("3. Searching compares your words with every photo; the score is a cosine:")
    with Engine.open(collection) as engine:
        for query in QUERIES:
            out(f'   $ clipdex search "{query}" -k 3')
            for hit in engine.search(query, k=3):
                out(f"     {hit.score:.3f}  {hit.file.name}")
        first = engine.search(QUERIES[0], k=1)[0]
        out()
        out("4. An image can be the query, too:")
        out(f"   $ clipdex similar {photos / first.file.name} -k 3")
        for hit in engine.similar(first.file, k=3):
            out(f"     {hit.score:.3f}  {hit.file.name}")
        out()
        out("5. Labels of your own, without training:")
        out(f'   $ clipdex label --labels "{LABELS}" --top 1')
        labeller = Labeller(engine.encoder, LABELS.split(","))
        wanted = {hit.id for query in QUERIES for hit in engine.search(query, k=1)}
        names = {path for c in engine.catalog.contents(list(wanted)).values() for path in c.paths}
        for item in label_collection(engine, labeller, top=1):
            if item.path in names:
                best = item.labels[0]
                name = Path(item.to_json()["path"]).name
                out(f"     {name}: {best.label} ({best.probability:.0%})")
    out()
    out(f'Now try your own: cd {folder} && clipdex search "your words here"')


def _copy_photos(target: Path) -> int:
    """Copy the packages' photos, and return how many.

    Raises:
        NoSamplePhotos: Neither package is installed.
        DemoFolderUnwritable: They cannot be copied to `target`.
    """
    found = []
    for package, folder in SOURCES:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            data = Path(spec.origin).parent / folder
            found += [file for file in sorted(data.iterdir()) if file.suffix in SUFFIXES]
    if not found:
        raise NoSamplePhotos(
            "the sample photos are not installed. Run `pip install 'clipdex[demo]'` and try again"
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in found:
            shutil.copyfile(file, target / file.name)
    except OSError as exc:
        raise DemoFolderUnwritable(
            f"cannot put the sample photos into {target}: {exc.strerror or exc}. Name a folder "
            "that you can write to: clipdex demo FOLDER"
        ) from exc
    return len(found)
