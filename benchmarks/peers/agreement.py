"""Check that the tools compute the same, by the cosines of their vectors of the same images."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from peers.processes import run
from peers.rounds import no_values
from peers.table import Row
from peers.tools import Tool


def measure_agreement(
    tools: Sequence[Tool], photos: dict[str, Path], *, scratch: Path
) -> list[Row]:
    """The median cosine with clipdex's vectors, as they are and with the mean image's taken off.

    Random weights give all images nearly one vector, so that the plain cosine tells little.
    """
    rows = []
    for title, folder in photos.items():
        plain, centred = no_values(tools), no_values(tools)
        ours = None
        for tool in tools:
            store = scratch / "store"
            shutil.rmtree(store, ignore_errors=True)
            run(tool.index(folder, store))
            theirs = tool.vectors(store)
            ours = theirs if ours is None else ours
            mean = ours.mean(axis=0)
            plain[tool.name].append(_median_cosine(ours, theirs))
            centred[tool.name].append(_median_cosine(ours - mean, theirs - mean))
        rows += [
            Row(f"cosine with clipdex's vectors, {title}", plain, ratios=False),
            Row("… the mean image's vector taken off", centred, ratios=False),
        ]
    return rows


def _median_cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.median((a * b).sum(axis=1) / norms))
