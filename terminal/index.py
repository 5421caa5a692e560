"""The command `clipdex index`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import completion, options
from .console import SOME_FILES_FAILED, handle_errors, hint, is_terminal, note, out, out_json

if TYPE_CHECKING:
    from indexer.encoder import Encoder
    from indexer.images.decode import Limits


@handle_errors
def index(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Folders of images, or single images; or their URLs: s3://, gs://, https://, "
            "zip://, tar:// and others.",
        ),
    ],
    collection: options.Collection = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model: pocket, a name such as ViT-B-32/laion2b_s34b_b79k, hf-hub:org/name, "
            "a checkpoint, or the folder of a bundle. If it is not the collection's model, every "
            "image of the collection is encoded again, and it takes over at the end.",
            show_default="the collection's own, pocket for a new one",
            autocompletion=completion.models,
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(metavar="A", help="The architecture of --model FILE, as open_clip names it."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps", "rocm", "openvino", "directml"],
        typer.Option(
            help="Where the model runs; auto uses all GPUs of this machine if torch is installed "
            "and the job is long enough to be worth starting them. rocm, openvino and directml "
            "need ONNX Runtime's builds for them and are untried; vectors are held against the "
            "CPU's."
        ),
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "int8"] | None,
        typer.Option(
            help="int8 encodes in 8-bit integers: about twice as fast on a CPU, and slightly less "
            "accurate. Gain and loss are measured on your machine and images, and reported; where "
            "it is not worth it, it is refused. Vectors of different precision are never mixed.",
            show_default="the collection's own, fp32 for a new one",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Images per batch.", show_default="measured"),
    ] = None,
    workers: options.Workers = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave out files and folders by gitignore's rules, in this and all later runs; "
            "images of theirs that the collection holds are deleted from it.",
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Index again what an earlier --exclude PATTERN left out."
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry files that could not be read before.")
    ] = False,
    rehash: Annotated[
        bool,
        typer.Option(
            "--rehash",
            "--verify",
            help="Read every file, to find those that changed while size and time did not.",
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Delete all that was made of images that have vanished."),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="N/M",
            help="Index this share of the files, such as 3/8, so that several machines index one "
            "folder, each with its own --collection; `clipdex merge` joins them. The collection "
            "keeps it.",
            show_default="all files",
        ),
    ] = None,
    index_kind: Annotated[
        Literal["auto", "exact", "approximate"] | None,
        typer.Option(
            "--index",
            help="How searches go through the vectors, in this and all later runs: exact scores "
            "every one; approximate makes codes that propose some, which are scored; auto does "
            "that from 200,000 on.",
            show_default="the collection's own, auto for a new one",
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=1,
            metavar="R",
            help="The share of the ten best images that codes have to propose; `clipdex status` "
            "says what was measured.",
            show_default="the collection's own, 0.99 for a new one",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="Where images are decoded and encoded: ray has a cluster's machines do it, which "
            "find the files at the same paths or URLs; the vectors are the same."
        ),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The cluster of --engine ray, such as head:6379.",
            show_default="$RAY_ADDRESS, else this machine alone",
        ),
    ] = None,
    ray_gpus: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="The share of a GPU that each encoder of --engine ray takes; 0 for CPUs.",
        ),
    ] = 0.0,
    max_pixels: options.MaxPixels = None,
    max_bytes: options.MaxBytes = None,
    as_json: options.Json = False,
) -> None:
    """Index folders of images, so that they can be searched.

    Run it again to pick up what is new, changed, moved or gone; only that is read. Files that
    cannot be read are listed with the reason, and the run continues (exit code 3).

    An --exclude PATTERN without a slash matches names at any depth, one with a slash the path below
    PATH; `*`, `?`, `[a-z]`, `**`, `!` and a slash at the end mean what they mean in .gitignore. The
    case of letters does not matter, and absolute paths and {jpg,png} work too. A pattern that
    matches nothing is reported. A folder that was forgotten stays left out until it is named as
    PATH itself.

    Example: clipdex index ./photos --exclude Private/ --exclude "*.thumb.jpg"
    """
    from indexer import Skipped, build
    from indexer.devices.cpu_count import available_cores
    from indexer.encoder import BatchEncoder
    from indexer.images.decode import Limits
    from indexer.load import active_model, cluster_encoder, require_device
    from indexer.scan.diff import resolve
    from indexer.store.collection import locate
    from search.hints import better_model
    from search.status import image_count

    from .progress import ProgressBar

    say = note
    encoder = None
    defaults = Limits()
    limits = Limits(
        max_bytes=max_bytes or defaults.max_bytes, max_pixels=max_pixels or defaults.max_pixels
    )
    if engine == "local" and (ray_address is not None or ray_gpus):
        raise typer.BadParameter("--ray-address and --ray-gpus go with --engine ray")
    if engine == "ray" and device not in ("auto", "cpu"):
        raise typer.BadParameter("--engine ray uses GPUs by --ray-gpus: leave out --device")
    if precision == "int8" and device not in ("auto", "cpu"):
        raise typer.BadParameter("--precision int8 runs on the CPU: leave out --device")
    place = locate(collection)
    # Only then is there somebody to whom a hint about the first images is of use.
    begins = not as_json and is_terminal() and not image_count(collection)
    for path in paths:
        resolve(path, place)
    place.require_writable()
    require_device(device)
    if model is not None or device != "auto" or precision is not None or engine == "ray":
        encoder = _encoder(
            collection,
            model,
            arch,
            "cpu" if engine == "ray" else device,
            available_cores(),
            precision,
            paths,
            limits,
            lambda line: say(line),
        )
    if engine == "ray":
        assert encoder is not None
        encoder = cluster_encoder(
            encoder,
            address=ray_address,
            gpus=ray_gpus,
            decoders=workers,
            on_progress=lambda line: say(line),
        )
    with ProgressBar() as progress:
        say = progress.note  # from here on, messages go above the bar

        def report_skip(skipped: Skipped) -> None:
            progress.note(f"skipped {skipped.path.decode('utf-8', 'replace')}: {skipped.reason}")

        try:
            report = build(
                paths,
                collection=collection,
                encoder=encoder,
                exclude=exclude or (),
                include=include or (),
                rehash=rehash,
                retry_failed=retry_failed,
                prune_vanished=prune,
                shard=shard,
                index=index_kind,
                recall=recall,
                workers=workers,
                batch_size=batch_size,
                limits=limits,
                on_progress=progress.update,
                on_skip=report_skip,
                on_note=progress.note,
            )
        except KeyboardInterrupt as exc:
            raise KeyboardInterrupt(
                "what was indexed so far is kept; run the same command to continue"
            ) from exc
        finally:
            if isinstance(encoder, BatchEncoder):
                encoder.close()
    if as_json:
        out_json(report.to_json())
    else:
        out(str(report))
        if not report.indexed + report.reused + report.unchanged + report.failed:
            note("No images were found: are they in another format, hidden or excluded?")
        if begins and report.indexed and (better := better_model(active_model(place)[0])):
            hint(better)
    if report.failed:
        raise typer.Exit(SOME_FILES_FAILED)


def _encoder(
    collection: str | None,
    model: str | None,
    arch: str | None,
    device: str,
    threads: int,
    precision: str | None,
    paths: Sequence[str],
    limits: "Limits",
    say: Callable[[str], None],
) -> "Encoder":
    """Return the encoder of a model; None for the collection's own.

    It runs on the given device and in the given precision.
    """
    from indexer import load_encoder
    from indexer.load import active_model, obtain
    from indexer.store.collection import locate

    fingerprint = None
    if model is None:
        model, fingerprint = active_model(locate(collection))
    if precision is not None:
        from indexer.compile.int8 import full_precision, int8

        model, fingerprint = full_precision(model), None
        if precision == "int8":
            base = obtain(model, arch=arch, on_progress=say)
            derived, loss = int8(base, paths, limits=limits, on_progress=say)
            say(f"{derived.name}: {loss}")
            model, arch, fingerprint, device = derived.name, None, derived.fingerprint, "cpu"
    return load_encoder(
        model,
        arch=arch,
        fingerprint=fingerprint,
        device=device,
        threads=threads,
        on_progress=say,
    )
