"""The commands `clipdex models ...`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion, options
from .console import handle_errors, is_terminal, note, out, out_json, visible, writing_output

if TYPE_CHECKING:
    from indexer.bundles.bundle import Bundle
    from indexer.load import Known

# What `recommend` counts with where there is no collection.
USUAL_IMAGES = 10_000
# Characters; more than any table has.
WIDE = 1_000

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
        out("Not here yet, for `clipdex models pull NAME`, which compiles them (clipdex[torch]);")
        out("`clipdex models recommend` compares others, which need no torch:")
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
def recommend(
    languages: options.Languages = None,
    budget_mb: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Only models whose files have at most this many megabytes."
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How many images you have, for the hours that indexing takes.",
            show_default=f"those of the collection, or {USUAL_IMAGES:,}",
        ),
    ] = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Compare models by published recall, size, memory, speed and licence, the best first.

    Only models with a published recall for every language that you name are shown. There is one
    default for English and one for other languages, which `models pull recommended` takes: not the
    best ones, but fast without a GPU and free to use.

    Images/s and hours are measured here, on the CPU, by a trial of a second; they leave out the
    decoding of files. They are empty for models that are not here yet: how much faster one model
    is than another differs between machines. The milliseconds that were published compare them.

    Example: clipdex models recommend --languages zh,de --budget-mb 2000 --images 50000
    """
    from indexer.bundles.published import LANGUAGES, SOURCE
    from indexer.bundles.recommended import default_for, mean_recall, parse_languages, rank
    from indexer.load import known_models
    from search.status import image_count

    codes = parse_languages(languages)
    ranked = rank(codes, budget_mb)
    count = images or image_count(collection) or USUAL_IMAGES
    here = {known.bundle.name.removeprefix("hf-hub:"): known.bundle for known in known_models()}
    rows = []
    for one in ranked:
        rate = _rate(here[one.name]) if one.name in here else None
        rows.append(
            {
                "name": one.name,
                "default_for": default_for(one),
                "recall": {code: one.recall[code] for code in codes},
                "mean_recall": round(mean_recall(one, codes), 2),
                "megabytes": one.megabytes,
                "memory_mib": one.memory,
                "published_ms": one.milliseconds,
                "here": one.name in here,
                "images_per_second": rate,
                "images": count,
                "hours": rate and round(count / rate / 3600, 3),
                "licence": one.licence,
            }
        )
    if as_json:
        for row in rows:
            out_json(row)
        return
    recalls = [LANGUAGES[code] for code in codes] + ["mean"] * (len(codes) > 1)
    header = ["model", "default", *recalls, "MB", "memory", "ms", "images/s", "hours", "licence"]
    _write_table(header, [_cells(row) for row in rows])
    note(f"{SOURCE}.")
    note(
        f"MB are those of the weights in 32-bit floats. Images/s and hours for {count:,} images "
        "are measured on this machine, where the model is here. The exports declare no licence; "
        "what is named is that of the weights, and the unconfirmed are to be looked up."
    )


@app.command()
@handle_errors
def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A repository with exported graphs, such as "
            "immich-app/ViT-B-32__laion2b-s34b-b79k, or its address; or ARCHITECTURE/TAG, as "
            "open_clip names it, or hf-hub:org/name; or `recommended`, for the default of "
            "`models recommend`.",
        ),
    ],
    languages: options.Languages = None,
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
    from indexer.bundles.recommended import recommended

    chosen = recommended(name, languages)
    if chosen != name:
        note(f"{name}: {chosen}")
    _obtain(chosen, sha256=sha256, variant=variant, force=force, as_json=as_json)


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
        typer.Argument(
            metavar="[NAME]",
            help="A model.",
            show_default="all that are here",
            autocompletion=completion.models,
        ),
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
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The model to write.", autocompletion=completion.models
        ),
    ],
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

    from .progress import download_bar

    with download_bar() as show_bytes:
        bundle = obtain(
            name,
            arch=arch,
            label=label,
            sha256=sha256,
            variant=variant,
            force=force,
            on_progress=note,
            on_bytes=show_bytes,
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


def _rate(bundle: "Bundle") -> float | None:
    """Return the images a second that a model takes here; None where it does not run."""
    from indexer.devices.cpu_count import available_cores
    from indexer.encoders.onnx_encoder import OnnxEncoder
    from indexer.encoders.rate import images_per_second
    from indexer.errors import ModelError

    try:
        rate = images_per_second(OnnxEncoder(bundle, device="cpu", threads=available_cores()))
    except ModelError as exc:
        note(f"{bundle.name} cannot be tried: {exc}")
        return None
    return round(rate, 1)


def _cells(row: dict[str, Any]) -> list[str]:
    rate, hours, recall = row["images_per_second"], row["hours"], row["recall"]
    shown = [*recall.values(), *([row["mean_recall"]] if len(recall) > 1 else [])]
    return [
        row["name"],
        row["default_for"] or "",
        *(f"{figure:.1f}" for figure in shown),
        f"{row['megabytes']:,}",
        f"{row['memory_mib']:,}",
        f"{row['published_ms']:g}",
        "" if rate is None else f"{rate:,.1f}",
        "" if hours is None else f"{hours:,.2f}",
        row["licence"],
    ]


def _write_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table; in a pipe, its lines, with tabs between the cells."""
    if not is_terminal():
        for cells in (header, *rows):
            out(*cells)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in header:
        text = title in ("model", "default", "licence")
        table.add_column(title, justify="left" if text else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*map(visible, cells))
    # A name that is broken into lines cannot be copied: a narrow terminal wraps the rows itself.
    with writing_output():
        Console(markup=False, width=WIDE).print(table)
