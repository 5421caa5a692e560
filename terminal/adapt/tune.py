"""The commands `clipdex adapt tune` and `clipdex adapt merge`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terminal import options
from terminal.console import SOME_FILES_FAILED, handle_errors, note, out, out_json

if TYPE_CHECKING:
    from adaptation.data.checks import Finding
    from adaptation.tuning.tune import Tuned


@handle_errors
def tune(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model will be called.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Classes: a folder with one folder per class, a CSV with the header path,label, "
            'or JSONL with "image" and "label". Captions: a CSV with path,caption, or JSONL with '
            '"image" and "captions".',
        ),
    ],
    model: options.BaseModel = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="M",
            help="full trains every weight; lora, adapter, prefix and visual-prompts (the last two "
            "only for transformers) train a few new ones beside them.",
        ),
    ] = "full",
    towers: Annotated[
        str,
        typer.Option(
            metavar="T", help="What moves: image, or with captions also text or both towers."
        ),
    ] = "image",
    old: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Other labelled images, on which zero-shot accuracy must not fall by a point.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, metavar="N", help="Passes over the images.")] = 10,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="R", help="Peak learning rate.", show_default="3e-05, else 1e-03"
        ),
    ] = None,
    warmup: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="S", help="Share of steps in which the learning rate warms up."
        ),
    ] = 0.1,
    batch_size: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Images per step.", show_default="32, captions 128"),
    ] = None,
    unfreeze: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="How many more layers are trained in each epoch, from the last; 0: all at once.",
        ),
    ] = 0,
    checkpointing: Annotated[
        bool,
        typer.Option("--checkpointing", help="Compute activations twice instead of keeping them."),
    ] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write TensorBoard's event files there."),
    ] = None,
    template: options.Templates = None,
    seed: options.Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Go on where a check objects.")] = False,
    device: options.TrainingDevice = "auto",
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Fine-tune a model on your own classes or captions; needs clipdex[torch].

    Use it where a head (`clipdex adapt train`) is not enough. The image tower is trained; with
    captions, --towers can say otherwise. For classes a head is trained first,
    then both; in the end the weights are moved back towards the old ones as far as held-out images
    do not suffer. The result is a model of its own: `clipdex index --model NAME`, and `clipdex
    models export NAME` for other programs. An interrupted run is resumed.

    Example: clipdex adapt tune mine ./labelled --old ./everyday
    """
    options.check_templates(template)

    from dataclasses import replace
    from functools import partial

    from adaptation.artifact_writer import check_name
    from adaptation.data.checks import check
    from adaptation.data.examples import Examples, read_examples
    from adaptation.data.pairs import read_pairs
    from adaptation.tuning.checks import check_model, check_settings, objection
    from adaptation.tuning.settings import CAPTIONS_BATCH, METHODS, TOWERS, Tuning
    from indexer import load_encoder
    from indexer.bundles.cache import cache_folder
    from indexer.devices.cpu_count import available_cores
    from indexer.errors import ExamplesError
    from indexer.load import active_model, find_bundle
    from indexer.store.collection import locate
    from indexer.store.lookup import lookup_where
    from indexer.store.paths import display
    from search.evaluation.dataset import read_ground_truth

    check_name(name)
    if method not in METHODS:
        raise typer.BadParameter(f"--method is one of {', '.join(METHODS)}")
    if towers not in TOWERS:
        raise typer.BadParameter(f"--towers is one of {', '.join(TOWERS)}")
    truth = read_ground_truth(data)
    captioned = not any(known.labels for known in truth.values())
    chosen = replace(
        METHODS[method],
        epochs=epochs,
        batch_size=batch_size or (CAPTIONS_BATCH if captioned else Tuning.batch_size),
        rate=METHODS[method].rate if rate is None else rate,
        warmup=warmup,
        unfreeze_per_epoch=unfreeze,
        checkpointing=checkpointing,
        seed=seed,
        towers=towers,
    )
    if problem := objection(chosen, captioned=captioned):
        raise ExamplesError(problem)
    place = locate(collection)
    base, fingerprint = (model, None) if model else active_model(place)
    bundle = find_bundle(base, fingerprint)
    found = [*check_settings(chosen), *check_model(bundle)]
    objected(found, force)
    with needs_torch():
        from adaptation.tuning.save_model import require_free
        from adaptation.tuning.training_log import require_tensorboard
        from adaptation.tuning.tune import RunConfig
        from adaptation.tuning.tune import tune as learn
    require_free(name)
    if tensorboard is not None:
        require_tensorboard(tensorboard)
    old_truth = read_ground_truth(old) if old else None
    run = RunConfig.on(device, cache_folder() / "tuning" / name, tensorboard)
    encoder = load_encoder(base, fingerprint=bundle.fingerprint, threads=available_cores())
    with lookup_where(place, bundle.fingerprint) as stored:
        read = partial(read_examples, encoder=encoder, stored=stored, workers=workers)
        known = (
            read_pairs(truth, encoder, stored=stored, workers=workers) if captioned else read(truth)
        )
        kept = read(old_truth) if old_truth else None
    skipped = [*known.skipped, *(kept.skipped if kept else ())]
    for path, reason in skipped:
        note(f"skipped {display(path)}: {reason}")
    if isinstance(known, Examples):
        objections = check(known)
        objected(objections, force)
        found += objections
    tuned = learn(
        bundle,
        encoder,
        known,
        chosen,
        name,
        run,
        old=kept,
        templates=template or (),
        warnings=[one.check for one in found],
        on_note=note,
    )
    if as_json:
        fields = {"name": name, "fingerprint": tuned.bundle.fingerprint, **tuned.bundle.tuned}
        out_json({**fields, "epochs": tuned.epochs})
    else:
        _tell(tuned, captioned)
    if skipped:
        raise typer.Exit(SOME_FILES_FAILED)


def objected(found: "list[Finding]", force: bool) -> None:
    """Raise ExamplesError for what the checks found, or with `force` print warnings."""
    from indexer.errors import ExamplesError

    if found and not force:
        raise ExamplesError(
            "; ".join(one.message for one in found) + ". --force trains all the same"
        )
    for one in found:
        note(f"warning: {one.message}")


def _tell(tuned: "Tuned", captioned: bool) -> None:
    name, before, after = tuned.bundle.name, tuned.sweep[0], tuned.at_alpha
    what = "mean reciprocal rank of held-out captions" if captioned else "of held-out examples"
    out(f"{name}: {after['new']:.1%} {what}, {before['new']:.1%} before")
    if "old" in after:
        out(f"zero-shot on the old images {after['old']:.1%}, {before['old']:.1%} before")
    if tuned.alpha == 0:
        out("no step away from the base model was better, so this is still that model: give more")
        out("images, another --method or more --epochs")
    else:
        out(f"use it: clipdex index --model {name}")


@handle_errors
def merge(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model will be called.")],
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Two or more models that were tuned from one base."
        ),
    ],
) -> None:
    """Average models that were tuned from one base, which is often better than each of them.

    They may differ in seed (`clipdex adapt tune --seed`), settings or images. Compare the result
    with `clipdex eval DATA --model NAME --model MODEL`.

    Example: clipdex adapt merge mine mine-0 mine-1 mine-2
    """
    from adaptation.artifact_writer import check_name
    from indexer.load import find_bundle

    check_name(name)
    bundles = [find_bundle(one) for one in models]
    with needs_torch():
        from adaptation.tuning.model_soup import merge as average
    average(bundles, name)
    out(f"{name}: the average of {', '.join(models)}")
    out(f"use it: clipdex index --model {name}")


@contextmanager
def needs_torch(
    what: str = "fine-tuning", instead: str = "learn a head with `clipdex adapt train`"
) -> Iterator[None]:
    """Raise an error of one line where an import inside fails.

    Args:
        what: What the import is for.
        instead: What works without it.
    """
    from indexer.errors import ExamplesError

    try:
        yield
    except ImportError as exc:
        raise ExamplesError(
            f"{what} needs torch and open_clip, which are not installed ({exc}): pip install "
            f"'clipdex[torch]', or {instead}"
        ) from exc
