"""Tries a graph from elsewhere once, in a process of its own, before this process runs it.

A graph is a program: one that loops for years or makes a constant of 16 GB would take this process,
and the machine, with it. So it encodes one image or text under limits of processor time and memory,
and that it did is remembered with the checksums of its files. Loops are refused at once, since how
long they take may depend on the image.
"""

import json
import os
import sys

from indexer.bundles.bundle import Bundle
from indexer.bundles.checksums import Remembered, require_intact
from indexer.errors import BundleError
from indexer.json_files import Fields, parse_json
from indexer.model_name import BUILT_INS, MANIFEST

# Limits of a trial: a part that is the same for all, and one that grows with the graph's files.
# One core loads and runs ViT-L-14's image tower within 5 s.
SECONDS, MEGABYTES_A_SECOND = 20, 50
MEGABYTES, TIMES_THE_FILES = 3_000, 8
# A process that waits, as for a disk, takes no processor time.
WALL_TO_PROCESSOR = 4
# Of the signals SIGXCPU and SIGKILL, which the limit of processor time sends one after the other.
TOO_LONG = (-24, -9)
# Bump this when trials have to be repeated.
VERSION = "1"
CHILD = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from indexer.encoders.trial_process import main
main()
"""


def files_of(bundle: Bundle, graph: str) -> tuple[str, ...]:
    """Return the files that a graph runs with."""
    if graph == bundle.image_graph.file:
        return bundle.image_graph.files
    return (*bundle.text_graph.files, bundle.text.file)


def require_runnable(bundle: Bundle, graph: str) -> None:
    """Check a graph's files, and try it if it was not tried before.

    Args:
        bundle: The bundle.
        graph: The file of one of its graphs.

    Raises:
        BundleError: A file is damaged, or the graph does not run within the limits.
    """
    digests = require_intact(bundle, *files_of(bundle, graph))
    if bundle.folder in BUILT_INS.values() or not sys.executable:
        return
    if not (bundle.folder / MANIFEST).is_file():
        return  # it is being made, here
    from blake3 import blake3

    is_image = graph == bundle.image_graph.file
    settings = [repr(bundle.image if is_image else bundle.text)]
    if bundle.is_export:
        settings.append(repr(bundle.image_graph if is_image else bundle.text_graph))
    parts = [VERSION, graph, str(bundle.dim), *settings, *digests.values()]
    key = blake3("\n".join(parts).encode("utf-8", "replace")).hexdigest()
    remembered = Remembered.of(bundle)
    if key == remembered.tried.get(graph) or key in _tried:
        return
    _try(bundle, graph)
    _tried.add(key)
    remembered.tried[graph] = key
    remembered.save()


# What this process has tried, for where nothing can be remembered.
_tried: set[str] = set()


def _try(bundle: Bundle, graph: str) -> None:
    """Run a graph in another process; raise BundleError if it fails or takes too much."""
    import subprocess  # here, since a search that needs no trial starts quicker without it

    size = sum((bundle.folder / name).stat().st_size for name in files_of(bundle, graph)) / 1e6
    seconds = int(SECONDS + size / MEGABYTES_A_SECOND)
    megabytes = int(MEGABYTES + TIMES_THE_FILES * size)
    what_to_do = [os.fspath(bundle.folder), bundle.name, graph, seconds, megabytes]
    command = [sys.executable, "-P", "-c", CHILD, *map(json.dumps, (sys.path, what_to_do))]
    what = f"the model {bundle.name}: {graph} in {bundle.folder}"
    too_long = f"{what} was stopped: one {_thing(bundle, graph)} took it more than {seconds} s"
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds * WALL_TO_PROCESSOR,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise BundleError(too_long) from exc
    except OSError as exc:
        raise BundleError(f"{what} cannot be tried: {exc}") from exc
    try:
        answer = Fields(parse_json(ended.stdout.splitlines()[-1]))
        outcome = answer.text("outcome", among=("runs", "memory", "error"))
        error = answer.text("error", "")
    except (ValueError, IndexError) as exc:
        if ended.returncode in TOO_LONG:
            raise BundleError(too_long) from exc
        raise BundleError(
            f"{what} ended the process that tried it (exit code {ended.returncode}), perhaps for "
            f"lack of memory ({megabytes:,} MB)"
        ) from exc
    if outcome == "memory":
        raise BundleError(
            f"{what} was stopped: one {_thing(bundle, graph)} took it more than {megabytes:,} MB "
            "of memory"
        )
    if outcome == "error":
        raise BundleError(error)


def _thing(bundle: Bundle, graph: str) -> str:
    return "image" if graph == bundle.image_graph.file else "text"
