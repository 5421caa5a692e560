"""Scenes: images of one class that are probably shots of one thing at one place and time.

A split that puts shots of one shelf on both sides measures memory. Images of a class are of one
scene if they are near-duplicates; if they were taken within a minute of each other; if their files
follow each other in a folder and their vectors are alike; or if a group's vectors are alike on the
average (average linkage, the most alike first: a chain of small steps joins nothing).

How alike is counted from what images of *different* classes have in common, since models differ in
how close all their vectors lie, and domains too: herbarium sheets of two species are not one scene.
The threshold was chosen on groceries and Caltech-101 (docs/decisions/0029-scenes.md).
"""

import os
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from adaptation.task import Rows, Scenes, Targets
from indexer.encoder import Embeddings

from .capture_times import capture_times

# The cosine from which on vectors are alike, in units from BASE (0) to identical (1).
ALIKE = 0.75
# This share of the cosines of images of different classes is below 0.
BASE = 0.05
# Pairs of images of different classes that are drawn to find it.
DRAWN = 20_000
# Each image's most alike ones that may join its group.
NEAREST = 20
BLOCK = 1024
# Seconds between two shots of one scene.
MAX_GAP = 60
# No camera takes more images in a second: where more have the same one, it was set by a program.
MAX_PER_SECOND = 30

DIGITS = re.compile(rb"(\d+)")


def scenes_of(
    vectors: Embeddings,
    targets: Targets,
    paths: Sequence[bytes],
    copies: Scenes | None = None,
    *,
    alike: float = ALIKE,
) -> Scenes:
    """Return which images belong together.

    Args:
        vectors: `(n, dim)`, of unit length.
        targets: `(n,)`, the classes; only near-duplicates join images of different ones.
        paths: Of the images; their order in a folder and their capture times count.
        copies: `(n,)`, equal for near-duplicates.
        alike: What is alike, from 0, as images of different classes are, to 1, identical.

    Returns:
        `(n,)`, for each image the number of the first one of its scene.
    """
    cosine = _cosine_from(vectors, targets, alike)
    groups = _Groups(vectors)
    if copies is not None:
        for row, first in enumerate(copies.tolist()):
            groups.join(row, first)
    for left, right in _shot_together(targets, paths):
        groups.join(left, right)
    for left, right in _consecutive(targets, paths):
        if vectors[left] @ vectors[right] >= cosine:
            groups.join(left, right)
    for left, right in _nearest(vectors, targets, cosine):
        groups.join_if_alike(left, right, cosine)
    return groups.numbers()


class _Groups:
    """Disjoint sets of rows that know the sums of their vectors."""

    def __init__(self, vectors: Embeddings) -> None:
        self._first = list(range(len(vectors)))
        self._sums = vectors.astype(np.float32)
        self._sizes = [1] * len(vectors)

    def first(self, row: int) -> int:
        """Return the first row of a row's group."""
        while self._first[row] != row:
            self._first[row] = self._first[self._first[row]]
            row = self._first[row]
        return row

    def join(self, left: int, right: int) -> None:
        """Make one group of the groups of two rows."""
        first, second = sorted((self.first(left), self.first(right)))
        if first != second:
            self._first[second] = first
            self._sums[first] += self._sums[second]
            self._sizes[first] += self._sizes[second]

    def join_if_alike(self, left: int, right: int, cosine: float) -> None:
        """Join two groups if the mean cosine of their images is at least `cosine`."""
        one, other = self.first(left), self.first(right)
        pairs = self._sizes[one] * self._sizes[other]
        if one != other and self._sums[one] @ self._sums[other] >= cosine * pairs:
            self.join(one, other)

    def numbers(self) -> Scenes:
        """Return the first row of each row's group."""
        return np.array([self.first(row) for row in range(len(self._first))], np.int64)


def _cosine_from(vectors: Embeddings, targets: Targets, alike: float) -> float:
    """Return the cosine from which on vectors are alike; of one class, among all its images."""
    count = len(vectors)
    if count < 2:
        return 1.0
    left, right = np.random.default_rng(0).integers(count, size=(2, DRAWN))
    others = targets[left] != targets[right]
    if not others.any():
        others = left != right
    left, right = left[others], right[others]
    cosines = np.concatenate(
        [
            np.einsum("nd,nd->n", vectors[left[block]], vectors[right[block]])
            for block in (slice(start, start + BLOCK) for start in range(0, len(left), BLOCK))
        ]
    )
    base = max(0.0, float(np.quantile(cosines, BASE)))
    return base + alike * (1 - base)


def _shot_together(targets: Targets, paths: Sequence[bytes]) -> list[tuple[int, int]]:
    times = capture_times(paths)
    known = np.array([row for row, time in enumerate(times) if time is not None], np.int64)
    seconds = np.array([time for time in times if time is not None], np.int64)
    _, which, counts = np.unique(seconds, return_inverse=True, return_counts=True)
    told = counts[which] <= MAX_PER_SECOND
    known, seconds = known[told], seconds[told]
    order = np.lexsort((known, seconds, targets[known]))
    known, seconds = known[order], seconds[order]
    near = (np.diff(seconds) <= MAX_GAP) & (np.diff(targets[known]) == 0)
    return list(zip(known[:-1][near].tolist(), known[1:][near].tolist(), strict=True))


def _consecutive(targets: Targets, paths: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return the pairs of a class that follow each other in a folder, 9 before 10."""

    def place(row: int) -> tuple[bytes, list[tuple[int, bytes]]]:
        folder, name = os.path.split(paths[row])
        parts = DIGITS.split(name.lower())
        return folder, [(int(part), b"") if part.isdigit() else (-1, part) for part in parts]

    order = sorted(range(len(paths)), key=place)
    return [
        (left, right)
        for left, right in pairwise(order)
        if targets[left] == targets[right]
        and os.path.dirname(paths[left]) == os.path.dirname(paths[right])
    ]


def _nearest(vectors: Embeddings, targets: Targets, cosine: float) -> list[tuple[int, int]]:
    """Return the alike pairs among each image's nearest of its class, the most alike first."""
    found: list[tuple[NDArray[np.float32], Rows, Rows]] = []
    for number in np.unique(targets):
        rows = np.flatnonzero(targets == number)
        own = vectors[rows]
        count = min(NEAREST, len(rows) - 1)
        for start in range(0, len(rows) if count else 0, BLOCK):
            cosines = own[start : start + BLOCK] @ own.T
            here = np.arange(len(cosines))
            cosines[here, start + here] = -1
            columns = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
            near = np.take_along_axis(cosines, columns, axis=1)
            left, which = np.nonzero(near >= cosine)
            found.append((near[left, which], rows[start + left], rows[columns[left, which]]))
    if not found:
        return []
    cosines, left, right = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((right, left, -cosines))
    return list(zip(left[order].tolist(), right[order].tolist(), strict=True))
