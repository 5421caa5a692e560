"""The commands `clipdex adapt domain` and `clipdex adapt distance`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from terminal import options
from terminal.console import SOME_FILES_FAILED, handle_errors, note, out, out_json

if TYPE_CHECKING:
    from adaptation.domain.distance import Distances


@handle_errors
def domain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    source: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Labelled images of the kind that you have labels for: a folder with one folder "
            'per class, a CSV with the header path,label, or JSONL with "image" and "label".',
        ),
    ],
    target: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Images of the other kind, which want labels; 10 or more."
        ),
    ],
    target_labels: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Some labelled images of the other kind, to learn from."),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Labelled images of the other kind to measure on, once, at the end.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="M", help="mmd, coral, dann or pseudo-labels.", show_default="mmd"),
    ] = None,
    end_to_end: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Train the image tower itself, by dann: lora trains a few weights beside it, full "
            "all of its own.",
            show_default="a head only",
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Passes over the images with --end-to-end.")
    ] = 5,
    device: Annotated[
        str,
        typer.Option(
            metavar="D", help="Of --end-to-end: auto, cpu, cuda or mps; cuda:1 for the second."
        ),
    ] = "auto",
    template: options.Templates = None,
    seed: options.Seed = 0,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Go on where a check objects, and save what is worse than without."
        ),
    ] = False,
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Label images of one kind with labels of another, such as sketches with those of photos.

    The result is a head, saved in the collection: `clipdex label --head NAME` uses it. Its settings
    are chosen without labels of the target. The accuracy on the target is only known where some of
    its labels are given; a head that is worse there than without the target's images, or than its
    class names alone (zero-shot), is not saved. The methods dann, coral and mmd, and --end-to-end,
    need clipdex[torch]. With --end-to-end the result is a model, too: `clipdex index --model NAME`.

    Example: clipdex adapt domain sketches --source ./photos-by-class --target ./sketches
    """
    options.check_templates(template)

    from dataclasses import replace

    from adaptation.artifact_writer import check_name
    from adaptation.data.examples import read_examples
    from adaptation.domain.checks import (
        check_folders,
        classes_of,
        missing_classes,
        require_apart,
        require_known,
        require_other_images,
    )
    from adaptation.domain.learn import Domains, learn
    from adaptation.domain.registry import METHODS, RECOMMENDED
    from adaptation.domain.unlabelled import find_files, read_unlabelled
    from adaptation.needs_torch import require_torch
    from adaptation.tuning.checks import check_model, check_settings
    from adaptation.tuning.settings import METHODS as TUNING
    from indexer import load_encoder
    from indexer.bundles.cache import cache_folder
    from indexer.devices.cpu_count import available_cores
    from indexer.load import active_model, find_bundle
    from indexer.store.collection import locate
    from indexer.store.lookup import lookup_where
    from indexer.store.paths import display
    from search.evaluation.dataset import read_ground_truth

    from .tune import needs_torch, objected

    chosen = method or (RECOMMENDED if end_to_end is None else "dann")
    if chosen not in METHODS:
        raise typer.BadParameter(f"--method: {chosen!r} is not one of {', '.join(METHODS)}")
    if end_to_end not in (None, "lora", "full"):
        raise typer.BadParameter("--end-to-end is lora or full")
    if end_to_end is not None and chosen != "dann":
        raise typer.BadParameter("--end-to-end trains by dann: leave out --method")
    check_name(name)
    place = locate(collection)
    place.require_writable()
    truth = read_ground_truth(source)
    classes = classes_of(truth, source)
    files = find_files(target)
    require_apart(truth, files, source, target)
    truths = [
        None if one is None else read_ground_truth(one) for one in (target_labels, validation)
    ]
    for own, option in zip(truths, ("--target-labels", "--validation"), strict=True):
        if own is not None:
            require_known(own, classes, option)
    findings = check_folders(target, files, classes)
    objected(findings, force)
    if missing := missing_classes(files, classes):
        note(
            f"note: --target has no folder of {', '.join(map(repr, missing))}: where a domain "
            "lacks classes, alignment pulls others into their place"
        )
    model, fingerprint = active_model(place)
    base = find_bundle(model, fingerprint)
    settings = replace(TUNING[end_to_end or "lora"], epochs=epochs, seed=seed)
    if end_to_end is not None:
        with needs_torch():
            from adaptation.tuning.save_model import require_free
        require_free(name)
        unfit = [*check_settings(settings), *check_model(base)]
        objected(unfit, force)
        findings += unfit
    require_torch(METHODS[chosen](), METHODS)  # last: it is imported, which takes seconds
    encoder = load_encoder(model, fingerprint=fingerprint, threads=available_cores())
    with lookup_where(place, encoder.fingerprint) as stored:
        labelled = read_examples(truth, encoder, stored=stored, workers=workers)
        wanted = read_unlabelled(target, files, encoder, stored=stored, workers=workers)
        require_other_images(wanted.digests, labelled.digests)
        known, measured = (
            None
            if own is None
            else read_examples(
                own, encoder, classes=labelled.classes, stored=stored, workers=workers
            )
            for own in truths
        )
    skipped = [one for read in (labelled, wanted, known, measured) if read for one in read.skipped]
    for path, reason in skipped:
        note(f"skipped {display(path)}: {reason}")
    domains = Domains(labelled, wanted, known, measured)
    if end_to_end is None:
        crossed = learn(
            place,
            name,
            domains,
            encoder,
            METHODS[chosen](),
            model=model,
            templates=template or (),
            findings=findings,
            seed=seed,
            force=force,
            on_note=note,
        )
    else:
        with needs_torch():
            from adaptation.domain.end_to_end import learn_end_to_end
            from adaptation.tuning.tune import RunConfig
        crossed = learn_end_to_end(
            place,
            name,
            domains,
            encoder,
            base,
            settings,
            RunConfig.on(device, cache_folder() / "tuning" / name, None),
            templates=template or (),
            findings=findings,
            force=force,
            workers=workers,
            on_note=note,
        )
    if as_json:
        out_json(crossed.head.artifact.metadata)
    else:
        for line in _told(crossed.head.artifact.metadata):
            out(line)
    if skipped:
        raise typer.Exit(SOME_FILES_FAILED)


@handle_errors
def distance(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="A folder of images, or labelled data.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    seed: options.Seed = 0,
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Say how far apart two sets of images lie, as the model sees them.

    MMD compares the sets as a whole, the proxy A-distance says how well a classifier tells them
    apart (0: not at all, 2: always), and the Fréchet distance compares means and covariances. What
    two sets of one kind would have, drawn from both together, stands beside.

    Example: clipdex adapt distance ./photos ./sketches
    """
    from adaptation.domain.distance import by_chance, distances
    from adaptation.domain.unlabelled import MIN_COMPARED, find_files, read_unlabelled
    from indexer import load_encoder
    from indexer.devices.cpu_count import available_cores
    from indexer.load import active_model
    from indexer.pipeline.embed_files import task_of
    from indexer.store.collection import locate
    from indexer.store.lookup import lookup_where
    from indexer.store.paths import display
    from search.evaluation.dataset import read_ground_truth

    files = [
        find_files(one, MIN_COMPARED)
        if one.is_dir()
        else [task_of(path) for path in read_ground_truth(one)]
        for one in (first, second)
    ]
    place = locate(collection)
    model, fingerprint = active_model(place)
    encoder = load_encoder(model, fingerprint=fingerprint, threads=available_cores())
    with lookup_where(place, encoder.fingerprint) as stored:
        sets = [
            read_unlabelled(
                one, own, encoder, stored=stored, workers=workers, at_least=MIN_COMPARED
            )
            for one, own in zip((first, second), files, strict=True)
        ]
    skipped = [one for own in sets for one in own.skipped]
    for path, reason in skipped:
        note(f"skipped {display(path)}: {reason}")
    both = [own.vectors for own in sets]
    found, chance = (measure(both[0], both[1], seed) for measure in (distances, by_chance))
    if as_json:
        counts = [len(own) for own in both]
        shown = {**found.to_json(), "by_chance": chance.to_json()}
        out_json({"images": counts, "model": model, **shown})
    else:
        out(f"{len(both[0]):,} and {len(both[1]):,} images, as {model} sees them")
        for line in _distances(found, chance):
            out(line)
    if skipped:
        raise typer.Exit(SOME_FILES_FAILED)


def _distances(found: "Distances", chance: "Distances") -> list[str]:
    return [
        f"MMD {found.mmd:.4f} ({chance.mmd:.4f} by chance)",
        f"proxy A-distance {found.proxy_a_distance:.2f} ({chance.proxy_a_distance:.2f} by chance): "
        f"a classifier tells them apart {found.domain_accuracy:.0%} of the time",
        f"Fréchet distance {found.frechet:.3f} ({chance.frechet:.3f} by chance)",
    ]


def _told(manifest: Mapping[str, Any]) -> list[str]:
    """Return what was done and found, in plain words."""
    metrics, target = manifest["metrics"], manifest["target"]
    labels = sum(target["labels"].values())
    besides = f" and {labels:,} of its labels" if labels else ", without a label of them"
    lines = [
        f"{manifest['name']}: {len(manifest['classes']):,} classes by {manifest['method']}, from "
        f"{sum(manifest['examples'].values()):,} labelled images and {target['images']:,} of the "
        f"target{besides}"
    ]
    lines.append(f"settings were chosen by {metrics['selected_by']}")
    if own := metrics["source"]:
        lines.append(
            f"held-out source: {own['accuracy']:.1%} ({own['source_only']:.1%} source-only) of "
            f"{own['images']:,} images"
        )
    for key, of in (("target", "held-out target labels"), ("validation", "validation images")):
        if own := metrics[key]:
            lines.append(
                f"{of}: {own['accuracy']:.1%}, ± {100 * own['margin']:.0f} points, of "
                f"{own['images']:,} (source-only {own['source_only']:.1%}, zero-shot "
                f"{own['zero_shot']:.1%})"
            )
    if not metrics["target"] and not metrics["validation"]:
        lines.append(
            "how right it is on the target is unknown, as no label of it could be held out: give "
            "some with --validation. Zero-shot may be better"
        )
    agreed = metrics["agreement"]
    lines.append(
        f"of the target, {agreed['source_only']:.0%} get the label that source-only gives, and "
        f"{agreed['zero_shot']:.0%} the one that zero-shot gives"
    )
    before, after = metrics["distance"]["before"], metrics["distance"]["after"]
    now = f", {after['domain_accuracy']:.0%} after" if after else ", which it leaves as they are"
    lines.append(
        f"a classifier tells the domains apart {before['domain_accuracy']:.0%} of the time by the "
        f"vectors{now}; MMD {before['mmd']:.3f}" + (f", {after['mmd']:.3f} after" if after else "")
    )
    if manifest["model"] == manifest["name"]:
        lines.append(f"it needs its own model's vectors: clipdex index --model {manifest['name']}")
    return [*lines, f"use it: clipdex label --head {manifest['name']}"]
