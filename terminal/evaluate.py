"""The command `clipdex eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion, options
from .console import SOME_FILES_FAILED, handle_errors, note, out, out_json

if TYPE_CHECKING:
    from search.evaluation.evaluate import Evaluation

TITLES = {
    "zero_shot": "labels, zero-shot",
    "label_retrieval": "labels as queries",
    "text_to_image": "captions to images",
    "image_to_text": "images to captions",
}
METRICS = {
    "top_1": "top-1 accuracy, %",
    "top_5": "top-5 accuracy, %",
    "mean_per_class": "mean per class, %",
    "recall_at_1": "recall@1, %",
    "recall_at_5": "recall@5, %",
    "recall_at_10": "recall@10, %",
    "median_rank": "median rank",
    "mean_average_precision": "mAP, %",
    "precision_at_10": "precision@10, %",
}


@handle_errors
def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder with one folder per class; a CSV with the header path,label or "
            'path,caption; or JSONL with "image" and "label", "labels" or "captions".',
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A model to measure; several are compared.",
            show_default="the collection's own, or pocket",
            autocompletion=completion.models,
        ),
    ] = None,
    template: options.Templates = None,
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Measure models on your own labelled or captioned images.

    Nothing is stored. Images that the collection holds are not encoded again. Paths in a file are
    relative to its folder. --json prints one object per model, with shares from 0 to 1.

    Example: clipdex eval ./labelled --model pocket --json
    """
    options.check_templates(template)

    from indexer import load_encoder
    from indexer.devices.cpu_count import available_cores
    from indexer.load import active_model, obtain
    from indexer.store.collection import locate
    from indexer.store.lookup import lookup_where
    from indexer.store.paths import display
    from search.evaluation.dataset import read_ground_truth
    from search.evaluation.evaluate import embed_dataset
    from search.evaluation.evaluate import evaluate as measure

    truth = read_ground_truth(data)
    place = locate(collection)
    results: list[Evaluation] = []
    asked = [(name, None) for name in model] if model else [active_model(place)]
    for name, fingerprint in asked:  # before any of them is measured
        if fingerprint is None:
            obtain(name, on_progress=note)
    for name, fingerprint in asked:
        encoder = load_encoder(
            name, fingerprint=fingerprint, threads=available_cores(), on_progress=note
        )
        with lookup_where(place, encoder.fingerprint) as stored:
            dataset = embed_dataset(truth, encoder, stored=stored, workers=workers)
        if not results:  # the same files fail for every model
            for path, reason in dataset.skipped:
                note(f"skipped {display(path)}: {reason}")
        results.append(measure(dataset, encoder, name=name, templates=template or ()))
        if as_json:
            out_json(results[-1].to_json())
    if not as_json:
        _write_table([result.to_json() for result in results])
    if results[0].failed:
        note(f"{results[0].failed:,} images were left out")
        raise typer.Exit(SOME_FILES_FAILED)


def _write_table(results: list[dict[str, Any]]) -> None:
    rows = [["", *(result["model"] for result in results)]]
    rows.append(["images", *(f"{result['images']:,}" for result in results)])
    for section, title in TITLES.items():
        if results[0][section] is None:
            continue
        rows.append([title, *([""] * len(results))])
        for key, value in results[0][section].items():
            if key in METRICS:
                scale = 1 if key == "median_rank" else 100
                values = [f"{scale * result[section][key]:.1f}" for result in results]
                rows.append([f"  {METRICS[key]}", *values])
            else:
                rows.append([f"  {key}", *(f"{value:,}" for _ in results)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *others in rows:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        out("  ".join([first.ljust(widths[0]), *cells]).rstrip())
