"""Brings an exported model into the cache, as a bundle whose graphs compute what they did.

Everything is checked before the bundle takes its place: the files by the hub's checksums, what the
graphs reach for, whether they run, and whether photos and captions find each other. If anything
fails, nothing is left.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from indexer.bundles import cache
from indexer.bundles.bundle import MAX_DIM, Bundle
from indexer.bundles.checksums import digests
from indexer.compile.caption_bank import write_bank
from indexer.encoder import DEFAULT_LOGIT_SCALE
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import (
    BundleError,
    ClipdexError,
    CompileError,
    DownloadInterrupted,
    ModelError,
    ModelNotFound,
)
from indexer.hub import Hub, RemoteFile
from indexer.images.preprocess import Preprocess
from indexer.model_name import BUILT_IN_FOLDER, ModelName

from . import checks
from .layouts import Layout, detect
from .onnx_tower import Tower
from .settings import Settings, licence_of
from .weights_apart import lay_out

Report = Callable[[str], None]
# Bump this when the same files are to give other vectors.
VERSION = "1"
# Larger than the largest export that is known (Immich's ViT-gopt-16-SigLIP2-384, 8 GB).
MAX_BYTES = 12 * 10**9
MAX_FILES = 2_000
# What CLIPs learn, where they are stopped.
CLIP_LOGIT_SCALE = 100.0


def pull(
    model_name: ModelName,
    *,
    force: bool = False,
    on_progress: Report = lambda line: None,
    on_bytes: Callable[[int, int], None] = lambda done, of: None,
) -> Bundle:
    """Download or copy an export into the cache, under its fingerprint, and record the name.

    Args:
        model_name: Of the kind "export".
        force: Whether to keep a model that a check objects to.
        on_progress: Called with a line of text on what is being done.
        on_bytes: Called with how many bytes were downloaded, and of how many.

    Raises:
        ModelNotFound: There is no such export.
        DownloadError: A file cannot be fetched, or is not the hub's.
        BundleError: A file is damaged, or is none of a CLIP's.
        ModelError: The model does not run, or a check objects to it.
    """
    stamp = cache.stamp(model_name)
    models = cache.models_folder()
    models.mkdir(parents=True, exist_ok=True)
    hub = Hub(on_progress=on_progress, on_bytes=on_bytes)
    mark = f".export-{blake3(model_name.name.encode()).hexdigest(length=8)}-"
    for left in models.glob(f"{mark}*"):  # by a process that was killed; the name is locked
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=mark, dir=models))
    try:
        with _files(model_name, hub, work / "files") as (folder, layout):
            bundle = _bundle(folder, layout, work / "bundle", model_name, force, on_progress)
        target = models / bundle.fingerprint
        if not (target / "bundle.json").is_file():
            shutil.rmtree(target, ignore_errors=True)
            os.replace(bundle.folder, target)
    except DownloadInterrupted:
        raise  # what has arrived spares the next try
    except ClipdexError:
        hub.clean()
        raise
    except OSError as exc:
        raise CompileError(f"cannot store {model_name.name} in {models}: {exc}") from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
    hub.clean()
    cache.write_record(
        cache.Record(model_name.name, bundle.fingerprint, model_name.name, None, stamp)
    )
    return replace(Bundle.load(target), name=model_name.name)


@contextmanager
def _files(model_name: ModelName, hub: Hub, work: Path) -> Iterator[tuple[Path, Layout]]:
    """Yield a folder with the model's files, and which they are."""
    if model_name.path is not None:
        names = list(cache.files_below(model_name.path))
        yield model_name.path, detect(names, str(model_name.path), variant=model_name.variant)
        return
    listings = _listings(model_name, hub)
    several = len(listings) > 1
    remote: dict[str, RemoteFile] = {
        f"{repo.rpartition('/')[2]}/{name}" if several else name: file
        for repo, files in listings.items()
        for name, file in files.items()
    }
    layout = detect(
        list(remote),
        f"the hub's repository {' and '.join(listings)}",
        variant=model_name.variant,
        model=model_name.tag,
    )
    wanted = {name: remote[name] for name in layout.files(list(remote))}
    size = sum(file.size for file in wanted.values())
    if size > MAX_BYTES or len(wanted) > MAX_FILES:
        raise ModelNotFound(
            f"the hub announces {size / 1e9:,.1f} GB in {len(wanted):,} files for {model_name.name}"
            f", and at most {MAX_BYTES / 1e9:.0f} GB are taken: this is no CLIP, or a mistake"
        )
    free = shutil.disk_usage(work.parent).free
    if 2 * size > free:
        raise CompileError(
            f"{model_name.name} needs {2 * size / 1e9:,.1f} GB while it is stored, and "
            f"{work.parent} has {free / 1e9:,.1f} GB: free some, or set $CLIPDEX_CACHE elsewhere"
        )
    fetched = hub.fetch_all(wanted, "put them into a folder and run `clipdex models add FOLDER`")
    for name, file in fetched.items():
        _place(file, work / name, move=file.is_relative_to(cache.cache_folder()))
    yield work, layout


def _listings(model_name: ModelName, hub: Hub) -> dict[str, dict[str, RemoteFile]]:
    """Return the files of the repository, or of the two that belong together."""
    assert model_name.repo is not None
    repo, revision = model_name.repo, model_name.revision
    for ending in ("-vision", "-text"):
        repo = repo.removesuffix(ending)
    if repo != model_name.repo or repo.lower().startswith("qdrant/"):
        pair = (f"{repo}-vision", f"{repo}-text")
        return {one: hub.files(one, revision) for one in pair}
    return {repo: hub.files(repo, revision)}


def _bundle(
    folder: Path,
    layout: Layout,
    target: Path,
    model_name: ModelName,
    force: bool,
    on_progress: Report,
) -> Bundle:
    """Make a bundle at `target` of an export's files, and check it."""
    name = model_name.name
    image, text = (Tower.read(folder, file) for file in (layout.image, layout.text))
    settings = Settings.read(folder, layout, image, text, model_name.repo or name)
    graphs = {"image": image.graph("image", kind="image"), "text": text.graph("text", kind="text")}
    for tower, graph in zip((image, text), graphs.values(), strict=True):
        for source, inside in zip((tower.file, *tower.external), graph.files, strict=True):
            if not (folder / source).is_file() or not _is_below(folder / source, folder):
                raise BundleError(f"{name} lacks {source}, which holds weights of {tower.file}")
            _place(folder / source, target / inside, move=model_name.path is None)
    (target / settings.text.file).write_text(settings.tokenizer, encoding="utf-8")
    bundle = Bundle(
        folder=target,
        name=name,
        fingerprint="0" * 32,
        dim=_dim(image, text),
        logit_scale=CLIP_LOGIT_SCALE if settings.text.kind == "bpe" else DEFAULT_LOGIT_SCALE,
        logit_bias=None,
        image=_sized(settings.image, image),
        text=settings.text,
        source=f"{layout.family} export {name}",
        licence=licence_of(layout, name),
        relevance=Bundle.load(BUILT_IN_FOLDER).relevance,
        architecture=settings.architecture,
        graphs=graphs,
    )
    bundle.save()
    on_progress("checking the model")
    checks.require_towers(OnnxEncoder(bundle, device="cpu"))
    read = digests(bundle, (*graphs["image"].files, *graphs["text"].files, settings.text.file))
    graphs = {kind: lay_out(target, graph) for kind, graph in graphs.items()}
    bundle = replace(bundle, graphs=graphs)
    encoder = OnnxEncoder(bundle, device="cpu", made_here=True)
    found = [checks.activation(settings, (image, text), model_name.repo or name)]
    found.append(checks.batches(encoder))
    if graphs["text"].length is None and checks.can_cut(encoder):
        bundle = replace(bundle, text=replace(bundle.text, cut=True))
    found.append(checks.photos(encoder))
    if model_name.variant is not None:
        found.append(checks.loss(encoder, _full_precision(model_name)))
    if not force and (bad := [one.text for one in found if not one.good]):
        raise ModelError(f"{name} is not used: {'; '.join(bad)}. --force takes it all the same")
    encoder = OnnxEncoder(bundle, device="cpu", made_here=True)
    on_progress("encoding the caption bank")
    write_bank(encoder, target)
    if settings.text.kind != "bpe":
        bundle = replace(bundle, logit_scale=fitted_logit_scale(bundle))
    bundle = replace(bundle, checks=tuple(one.text for one in found))
    bundle = replace(bundle, fingerprint=_fingerprint(bundle, read), checksums=digests(bundle))
    bundle.save()
    return bundle


def _full_precision(variant: ModelName) -> Bundle | None:
    """Return the model that a variant is smaller than, if it is here."""
    name = variant.name.removesuffix(f":{variant.variant}")
    return cache.find(replace(variant, name=name, variant=None))


def _fingerprint(bundle: Bundle, read: dict[str, str]) -> str:
    """Return the hash of all that vectors depend on: files as they came, and how they are run."""
    ways = [repr(replace(graph, data=())) for graph in bundle.graphs.values()]
    parts = [VERSION, repr(bundle.image), repr(bundle.text), *ways]
    parts += [f"{name} {one}" for name, one in read.items()]
    return blake3("\n".join(parts).encode("utf-8", "replace")).hexdigest(length=16)


def fitted_logit_scale(bundle: Bundle) -> float:
    """Return a logit scale that spreads a softmax over captions as the built-in model's does.

    No export has one, and SigLIP's were not learnt for a softmax.
    """
    usual = Bundle.load(BUILT_IN_FOLDER)
    spreads = []
    for one in (usual, bundle):
        assert one.bank is not None
        some = one.bank[::4]
        spreads.append(float((some @ some.T).std()))
    return usual.logit_scale * spreads[0] / max(spreads[1], 1e-6)


def _dim(image: Tower, text: Tower) -> int:
    sizes = {one.output.shape[-1] for one in (image, text) if one.output.shape} - {None}
    if len(sizes) > 1:
        raise BundleError(
            f"{image.file} makes vectors of {image.output.shape[-1]} numbers and {text.file} of "
            f"{text.output.shape[-1]}: they belong to different models"
        )
    dim = next(iter(sizes), None)
    if dim is None or not 0 < dim <= MAX_DIM:
        raise BundleError(f"{image.file} does not say how long its vectors are")
    return dim


def _sized(settings: Preprocess, image: Tower) -> Preprocess:
    if image.sides is not None and image.sides != settings.size:
        raise BundleError(
            f"images of {settings.size[0]} x {settings.size[1]} pixels are made for {image.file}, "
            f"which takes {image.sides[0]} x {image.sides[1]}"
        )
    return settings


def _is_below(file: Path, folder: Path) -> bool:
    """Return whether a file is the folder's own, or lies where the hub's cache links to."""
    blobs = folder.resolve().parent.parent / "blobs"  # of REPOSITORY/snapshots/COMMIT
    return any(file.resolve().is_relative_to(one) for one in (folder.resolve(), blobs))


def _place(source: Path, target: Path, *, move: bool) -> None:
    """Put a file into the bundle: a user's own is copied, what was downloaded need not be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if move:
        os.link(source, target)
    else:
        shutil.copyfile(source, target)
