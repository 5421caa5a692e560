"""`clipdex adapt tune`"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .console import guarded, note, out


@guarded
def tune(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model will be called.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder of one folder a class, a CSV with the header path,label, or JSONL with "
            '"image" and "label".',
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model to start from.",
            show_default="the collection's own, else pocket",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="M", help="full moves every weight, lora a few beside them.")
    ] = "full",
    old: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Other labelled pictures, on which zero-shot accuracy may not fall by a point.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", help="Passes over the examples.")] = 10,
    rate: Annotated[
        float | None,
        typer.Option(metavar="R", help="Peak learning rate.", show_default="3e-05, lora 1e-03"),
    ] = None,
    warmup: Annotated[float, typer.Option(metavar="S", help="Share of steps it rises.")] = 0.1,
    template: options.Templates = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of splits, order and crops.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Go on where a check objects.")] = False,
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Fine-tune a model's image tower on your own classes; needs clipdex[torch].

    Where a head (`clipdex adapt train`) is not enough. A head is learnt first, then both; in the
    end the weights are taken back towards the old ones as far as held-out examples do not suffer.
    The result is a model of its own: `clipdex index --model NAME`. A run that was cut off goes on.

    Example: clipdex adapt tune mine ./labelled --old ./everyday
    """
    if method not in ("full", "lora"):
        raise typer.BadParameter("--method is full or lora")
    options.check_templates(template)

    from functools import partial

    from adaptation.artifacts import check_name
    from adaptation.examples import read_examples
    from adaptation.tuning.checks import check_settings
    from adaptation.tuning.settings import LORA_RATE, Tuning
    from indexer import load_encoder
    from indexer.collection import locate
    from indexer.cores import available_cores
    from indexer.errors import ExamplesError
    from indexer.lookup import lookup_where
    from indexer.models import active_model, find_bundle
    from search.ground_truth import read_ground_truth

    check_name(name)
    chosen = Tuning(
        method="lora" if method == "lora" else "full",
        epochs=epochs,
        rate=rate if rate is not None else LORA_RATE if method == "lora" else Tuning.rate,
        warmup=warmup,
        seed=seed,
    )
    findings = check_settings(chosen)
    if findings and not force:
        raise ExamplesError(
            "; ".join(one.message for one in findings) + ". --force trains all the same"
        )
    place = locate(collection)
    base, fingerprint = (model, None) if model else active_model(place)
    bundle = find_bundle(base, fingerprint)
    encoder = load_encoder(base, fingerprint=bundle.fingerprint, threads=available_cores())
    with lookup_where(place, bundle.fingerprint) as stored:
        read = partial(read_examples, encoder=encoder, stored=stored, workers=workers)
        examples = read(read_ground_truth(data))
        kept = read(read_ground_truth(old)) if old else None
    try:
        from adaptation.tuning.tune import facts_of
        from adaptation.tuning.tune import tune as learn
    except ImportError as exc:
        raise ExamplesError(
            f"fine-tuning needs torch and open_clip, which are not here ({exc}): pip install "
            "'clipdex[torch]', or learn a head with `clipdex adapt train`"
        ) from exc
    from indexer.cache import cache_folder

    tuned = learn(
        bundle,
        encoder,
        examples,
        chosen,
        name,
        cache_folder() / "tuning" / name,
        old=kept,
        templates=template or (),
        on_note=note,
    )
    facts: dict[str, Any] = {
        "name": name,
        "fingerprint": tuned.bundle.fingerprint,
        "warnings": [one.check for one in findings],
        **facts_of(tuned, chosen),
    }
    if as_json:
        out(json.dumps(facts, ensure_ascii=False))
        return
    before, after = tuned.sweep[0], next(one for one in tuned.sweep if one["alpha"] == tuned.alpha)
    out(f"{name}: {after['new']:.1%} of held-out examples, {before['new']:.1%} before")
    if "old" in after:
        out(f"zero-shot on the old pictures {after['old']:.1%}, {before['old']:.1%} before")
    out(f"use it: clipdex index --model {name}")
