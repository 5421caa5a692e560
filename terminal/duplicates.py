"""The command `clipdex duplicates`."""

from typing import TYPE_CHECKING, Any

from . import options
from .console import handle_errors, note, out, out_json

if TYPE_CHECKING:
    from indexer.store.records import Content


@handle_errors
def duplicates(
    threshold: options.Threshold = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """List images that the collection holds more than once.

    A group holds either one content under several paths ("identical") or images that look alike
    ("near"): resized, recompressed, slightly cropped or recoloured copies, bursts, and copies that
    are mirrored, turned by quarters, framed or shown between a phone's bars. The first image of a
    near group is the largest, where wide borders do not hide much of it; the others are listed with
    their similarity to it. Nothing is deleted.

    --json prints one {"group", "kind", "images": [{"id", "path", "paths", "width", "height",
    "bytes", "similarity"}]} per line.

    Example: clipdex duplicates --json
    """
    from indexer.store.codec import damaged_row
    from indexer.store.paths import existing
    from search import Engine
    from search.duplicates.groups import find_groups
    from search.duplicates.pair_similarity import THRESHOLD

    with Engine.open(collection) as engine, engine.question():
        groups = find_groups(engine, threshold=threshold or THRESHOLD)
        near = [{group.first: 1.0, **group.members} for group in groups]
        grouped = {number for members in near for number in members}
        copied = [number for number in engine.catalog.copied() if number not in grouped]
        contents = engine.catalog.contents([*grouped, *copied])
        there = {number: existing(content.paths) for number, content in contents.items()}
        listed = [("near", members) for members in near]
        # A copy that is not there any more, as on a drive that was mounted elsewhere, is none.
        listed += [("identical", {number: 1.0}) for number in copied if len(there[number]) > 1]
        sizes = engine.catalog.file_sizes(list(contents))
        lost = next((number for number in (*grouped, *copied) if number not in sizes), None)
        if lost is not None:
            raise damaged_row(f"image {lost} has no file")
        for number, (kind, members) in enumerate(listed, start=1):
            images = [
                _image(contents[one], there[one], sizes[one], similarity)
                for one, similarity in members.items()
            ]
            if as_json:
                row = {"group": number, "kind": kind, "images": images}
                out_json(row)
            else:
                _write(number, kind, images)
        missing = engine.catalog.count_without_thumbnail()
    if missing:
        note(
            f"{missing:,} images were indexed by an older clipdex and are not compared: "
            "run `clipdex index` on their folders"
        )
    if not listed and not as_json:
        note("no duplicates")


def _image(content: "Content", there: list[int], size: int, similarity: float) -> dict[str, Any]:
    from indexer.store.paths import display, path_fields

    paths = [content.paths[at] for at in there]
    return {
        "id": content.id,
        **path_fields(paths[0]),
        "paths": [display(path) for path in paths],
        "width": content.width,
        "height": content.height,
        "bytes": size,
        "similarity": round(similarity, 4),
    }


def _write(number: int, kind: str, images: list[dict[str, Any]]) -> None:
    files = sum(len(image["paths"]) for image in images)
    out(f"{number}. {files} files, {'one content' if kind == 'identical' else 'alike'}")
    for image in images:
        size = f"{image['width']} x {image['height']}, {image['bytes']:,} bytes"
        alike = f"{image['similarity']:.2f}" if kind == "near" else "same"
        first, *others = image["paths"]
        out(f"   {alike}  {first}  ({size})")
        for path in others:
            out(f"   same  {path}")
