"""The commands `clipdex models ...`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import handle_errors, note, out, out_json

if TYPE_CHECKING:
    from indexer.load import Known

app = typer.Typer(help="Manage the models that encode images and text.", no_args_is_help=True)

Arch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="A",
        help="The architecture of a checkpoint file: open_clip's name, or ARCHITECTURE/TAG to use "
        "the preprocessing of that tag too.",
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="V",
        help="A smaller variant of exported graphs: fp16, int8, uint8, quantized, q4, q4f16, bnb4.",
        show_default="full precision",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Keep exported graphs that a check objects to.")
]


@app.command("list")
@handle_errors
def list_models(as_json: options.Json = False) -> None:
    """List the models that are here, then others worth trying (`models pull` downloads them).

    Example: clipdex models list
    """
    from indexer.bundles.recommended import RECOMMENDED
    from indexer.load import known_models

    known = known_models()
    for one in known:
        _write(one, as_json)
    here = {one.bundle.name for one in known}
    others = [one for one in RECOMMENDED if one.name not in here]
    if others and not as_json:
        out()
        out("Not here yet, for `clipdex models pull NAME`:")
    for other in others:
        if as_json:
            fields = {
                "name": other.name,
                "here": False,
                "bytes": other.megabytes * 10**6,
                "licence": other.licence,
                "use": other.use,
            }
            out_json(fields)
        else:
            out(f"{other.name}  {other.use}, {other.megabytes:,} MB. {other.licence}")


@app.command()
@handle_errors
def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A repository with exported graphs, such as "
            "immich-app/ViT-B-32__laion2b-s34b-b79k, or its address; or ARCHITECTURE/TAG, as "
            "open_clip names it, or hf-hub:org/name.",
        ),
    ],
    sha256: Annotated[
        str | None,
        typer.Option(
            metavar="HEX", help="The expected checksum of the weights, besides the hub's own."
        ),
    ] = None,
    variant: Variant = None,
    force: Force = False,
    as_json: options.Json = False,
) -> None:
    """Download a model and check it.

    Exported graphs, as those of Immich, rclip, transformers.js and Qdrant, run as they are.
    open_clip's weights are compiled, which needs clipdex[torch]. An interrupted download is
    resumed. The hub's checksums are verified.

    Example: clipdex models pull immich-app/ViT-B-32__laion2b-s34b-b79k
    """
    _obtain(name, sha256=sha256, variant=variant, force=force, as_json=as_json)


@app.command()
@handle_errors
def add(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="A folder with exported graphs, as a hub's repository has them; or a checkpoint "
            "(safetensors, or a torch file of tensors), or a folder with open_clip_config.json and "
            "the weights.",
        ),
    ],
    arch: Arch = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="N", help="Another name for the model.", show_default=False),
    ] = None,
    variant: Variant = None,
    force: Force = False,
    as_json: options.Json = False,
) -> None:
    """Copy exported graphs into the cache, or compile a checkpoint (needs clipdex[torch]).

    Example: clipdex models add ./my.safetensors --arch ViT-B-32 --name mine
    """
    _obtain(str(path), arch=arch, label=name, variant=variant, force=force, as_json=as_json)


@app.command()
@handle_errors
def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A model.", show_default="all that are here"),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Check that a model's files are those that were compiled, and that it runs.

    If torch is installed and the weights are still here, it is compared with open_clip again.

    Example: clipdex models verify pocket
    """
    from indexer.compile.health import check
    from indexer.load import find_bundle, known_models

    bundles = [find_bundle(name)] if name else [known.bundle for known in known_models()]
    failed = False
    for bundle in bundles:
        result = check(bundle)
        failed |= not result.good
        if as_json:
            fields = {"name": bundle.name, "good": result.good, "findings": list(result.findings)}
            out_json(fields)
        else:
            out(f"{bundle.name}  {'good' if result.good else 'BAD'}: {'; '.join(result.findings)}")
    if failed:
        raise typer.Exit(1)


@app.command()
@handle_errors
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model to write.")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write it: a new or empty folder.")
    ],
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights in half precision.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write a model in open_clip's layout, to use it elsewhere; needs clipdex[torch].

    This works for every model that is here, including the built-in one and tuned ones. DIR gets
    the configuration and weights that `open_clip.create_model_and_transforms("local-dir:DIR")`
    loads.

    Example: clipdex models export pocket ./pocket
    """
    from indexer.errors import CompileError
    from indexer.load import find_bundle
    from indexer.weights.target import require_target

    bundle = find_bundle(name)
    require_target(folder)
    try:
        from indexer.weights.export import export as write
    except ImportError as exc:
        raise CompileError(
            f"exporting a model needs torch and open_clip ({exc.name} is missing): pip install "
            "'clipdex[torch]'"
        ) from exc
    cosine = write(bundle, folder, half=half, on_progress=note)
    size = sum(file.stat().st_size for file in folder.iterdir())
    if as_json:
        fields = {
            "name": bundle.name,
            "fingerprint": bundle.fingerprint,
            "folder": str(folder.absolute()),
            "bytes": size,
            "cosine": round(cosine, 7),
            "licence": bundle.licence,
        }
        out_json(fields)
    else:
        out(f"{folder}  {bundle.name}, {size / 1e6:.0f} MB, cosine {cosine:.6f}. {bundle.licence}")


def _obtain(
    name: str,
    *,
    as_json: bool,
    arch: str | None = None,
    label: str | None = None,
    sha256: str | None = None,
    variant: str | None = None,
    force: bool = False,
) -> None:
    from indexer.load import Known, obtain

    from .progress import Download

    with Download() as download:
        bundle = obtain(
            name,
            arch=arch,
            label=label,
            sha256=sha256,
            variant=variant,
            force=force,
            on_progress=note,
            on_bytes=download,
        )
    for line in bundle.checks:
        note(line)
    _write(Known(bundle, bundle.bytes), as_json)


def _write(known: "Known", as_json: bool) -> None:
    if as_json:
        out_json(_fields(known))
    else:
        out(_line(known))


def _fields(known: "Known") -> dict[str, object]:
    bundle = known.bundle
    return {
        "name": bundle.name,
        "here": True,
        "fingerprint": bundle.fingerprint,
        "dim": bundle.dim,
        "image_size": list(bundle.image.size),
        "bytes": known.bytes,
        "licence": bundle.licence,
    }


def _line(known: "Known") -> str:
    height, width = known.bundle.image.size
    return (
        f"{known.bundle.name}  {known.bundle.dim} dimensions, {width} x {height} pixels, "
        f"{known.bytes / 1e6:.0f} MB. {known.bundle.licence}"
    )
