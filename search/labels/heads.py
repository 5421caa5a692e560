"""Heads: classifiers on frozen vectors, learnt by `clipdex adapt train` and run in NumPy."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit
from indexer.errors import ArtifactError

from .answer import Answer, LabelScore
from .artifact import (
    Arrays,
    Artifact,
    is_artifact,
    load,
    names,
    read_manifest,
    require_dim,
    require_shapes,
)

# So that a class without votes still has a logarithm.
MIN_VOTE = 1e-6

Floats = NDArray[np.float64]


def linear(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Return logits of a linear map: `weights` `(classes, dim)`, `bias` `(classes,)`."""
    return np.asarray(vectors @ arrays["weights"].T + arrays["bias"], dtype=np.float64)


def mlp(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Return logits of two linear maps with a layer of rectified units between them."""
    hidden = np.maximum(vectors @ arrays["weights_in"].T + arrays["bias_in"], 0)
    return np.asarray(hidden @ arrays["weights_out"].T + arrays["bias_out"], dtype=np.float64)


def cache(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Return zero-shot logits plus exp(-beta (1 - cosine)) for the class of each key `(n, dim)`."""
    alpha, beta = (float(arrays[name][0]) for name in ("alpha", "beta"))
    affinity = np.exp(-beta * (1 - vectors @ arrays["keys"].T))
    votes = affinity @ arrays["values"]
    return np.asarray(vectors @ arrays["weights"].T + alpha * votes, dtype=np.float64)


def neighbours(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Return log shares of the votes of the k nearest keys, weighted exp(cosine / temperature)."""
    cosines = vectors @ arrays["keys"].T
    k = min(int(arrays["k"][0]), cosines.shape[1])
    temperature = float(arrays["temperature"][0])
    nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    close = np.take_along_axis(cosines, nearest, axis=1)
    weights = np.exp((close - close.max(axis=1, keepdims=True)) / temperature)
    votes = np.einsum("nk,nkc->nc", weights, arrays["values"][nearest])
    return np.asarray(np.log(votes / weights.sum(axis=1, keepdims=True) + MIN_VOTE), np.float64)


def projected(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Return cosines with class means `(classes, m)` after a projection `(m, dim)`, scaled."""
    scale = float(arrays["scale"][0])
    seen = unit(vectors @ arrays["projection"].T)
    return np.asarray(scale * (seen @ arrays["means"].T), dtype=np.float64)


def adapter(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Return zero-shot logits of vectors that are mixed with their output of a bottleneck.

    The bottleneck, `(hidden, dim)` and `(dim, hidden)`, has rectified units and the share `ratio`.
    """
    ratio = float(arrays["ratio"][0])
    hidden = np.maximum(vectors @ arrays["weights_in"].T, 0)
    adapted = np.maximum(hidden @ arrays["weights_out"].T, 0)
    mixed = unit(ratio * adapted + (1 - ratio) * vectors)
    return np.asarray(mixed @ arrays["weights"].T, dtype=np.float64)


Shapes = dict[str, tuple[str, ...]]

KINDS: dict[str, tuple[Callable[[Embeddings, Arrays], Floats], Shapes]] = {
    "linear": (linear, {"weights": ("classes", "dim"), "bias": ("classes",)}),
    "mlp": (
        mlp,
        {
            "weights_in": ("hidden", "dim"),
            "bias_in": ("hidden",),
            "weights_out": ("classes", "hidden"),
            "bias_out": ("classes",),
        },
    ),
    "cache": (
        cache,
        {
            "weights": ("classes", "dim"),
            "keys": ("examples", "dim"),
            "values": ("examples", "classes"),
            "alpha": ("one",),
            "beta": ("one",),
        },
    ),
    "neighbours": (
        neighbours,
        {
            "keys": ("examples", "dim"),
            "values": ("examples", "classes"),
            "k": ("one",),
            "temperature": ("one",),
        },
    ),
    "adapter": (
        adapter,
        {
            "weights_in": ("hidden", "dim"),
            "weights_out": ("dim", "hidden"),
            "ratio": ("one",),
            "weights": ("classes", "dim"),
        },
    ),
    "projected": (
        projected,
        {"projection": ("projected", "dim"), "means": ("classes", "projected"), "scale": ("one",)},
    ),
}
"""Each kind's logits `(n, classes)` of unit vectors `(n, dim)`, and the arrays that it reads."""

REJECTION: Shapes = {"centres": ("classes", "dim"), "rejection": ("two",)}


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Return probabilities `(n, classes)`, each row summing to 1."""
    scaled = logits / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True)
class Head:
    """A classifier for the vectors of one fingerprint.

    If the artifact has the arrays `centres` `(classes, dim)` and `rejection` (intercept, slope),
    they give the probability that an image is of none of the classes.

    Attributes:
        artifact: What its folder holds.
        classes: The labels.
        temperature: What logits are divided by.
        dim: Length of the vectors.
    """

    artifact: Artifact
    classes: tuple[str, ...]
    temperature: float
    dim: int

    @property
    def name(self) -> str:
        """Its name in the collection."""
        return self.artifact.name

    @property
    def _arrays(self) -> Arrays:
        return self.artifact.arrays

    def logits(self, vectors: Embeddings) -> Floats:
        """Return logits `(n, classes)` of unit vectors `(n, dim)`, before the temperature.

        Raises:
            ArtifactError: The head is for vectors of another length.
        """
        require_dim(vectors.shape[1], self.dim, f"the head {self.name}")
        return KINDS[self.artifact.kind][0](vectors, self._arrays)

    def probabilities(self, vectors: Embeddings) -> Floats:
        """Return probabilities `(n, classes)` of unit vectors `(n, dim)`."""
        return softmax(self.logits(vectors), self.temperature)

    def none(self, vectors: Embeddings) -> Floats | None:
        """Return the probabilities `(n,)` that no class fits; None if they were not learnt."""
        if "rejection" not in self._arrays:
            return None
        return none_of_these(vectors, self._arrays["centres"], self._arrays["rejection"])

    def best(self, vectors: Embeddings, top: int) -> list[Answer]:
        """Return the best classes of each vector.

        Args:
            vectors: `(n, dim)`, of unit norm.
            top: How many classes each vector gets.

        Returns:
            For each vector, its classes with the best first, and the probability that none fits;
            None where that was not learnt.
        """
        shares = self.probabilities(vectors)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        none = self.none(vectors)
        rejected = [None] * len(vectors) if none is None else none.round(4).tolist()
        return [
            Answer(
                tuple(
                    LabelScore(
                        self.classes[column],
                        float(row[column]),
                        None if one is None else round(float(row[column]) * (1 - one), 4),
                    )
                    for column in columns
                ),
                one,
            )
            for row, columns, one in zip(shares, order, rejected, strict=True)
        ]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a head.

        Raises:
            ArtifactError: It is missing, damaged or changed, or not of a known kind.
        """
        found = load(folder)
        if found.kind not in KINDS:
            raise ArtifactError(f"{folder} does not hold a head of a kind that this clipdex knows")
        classes = tuple(found.metadata["classes"])
        shapes = KINDS[found.kind][1]
        if "rejection" in found.arrays:
            shapes = {**shapes, **REJECTION}
        known = {"classes": len(classes), "one": 1, "two": 2}
        dim = require_shapes(found.arrays, shapes, folder, **known)["dim"]
        if found.kind == "neighbours":
            _check_neighbours(found.arrays, folder)
        return cls(found, classes, float(found.metadata["temperature"]), dim)


def _check_neighbours(arrays: Arrays, folder: Path) -> None:
    """Raise ArtifactError if no neighbors can be counted."""
    if arrays["k"][0] < 1 or arrays["temperature"][0] <= 0:
        raise ArtifactError(f"{folder} is damaged: 'k' and 'temperature' have to be above 0")


def none_of_these(vectors: Embeddings, centres: Embeddings, rejection: Embeddings) -> Floats:
    """Return a logistic function `(n,)` of each vector's cosine with the nearest center."""
    nearest = (vectors @ centres.T).max(axis=1).astype(np.float64)
    shares: Floats = 1 / (1 + np.exp(-(float(rejection[0]) + float(rejection[1]) * nearest)))
    return shares


def heads_folder(collection: Path) -> Path:
    """Return the folder of a collection's heads, which holds one folder for each."""
    return collection / "heads"


def find_head(collection: Path, name: str) -> Head:
    """Return a head by its name in the collection, or by its folder.

    Raises:
        ArtifactError: There is none, or it is damaged or changed.
    """
    own = heads_folder(collection) / name
    for place in [own, Path(name)] if os.sep not in name else [Path(name)]:
        if is_artifact(place):
            return Head.load(place)
    known = ", ".join(names(heads_folder(collection))) or "none yet, see `clipdex adapt train -h`"
    raise ArtifactError(f"no such head: {name}. There are: {known}")


def head_with(collection: Path, label: str, fingerprint: str) -> Head | None:
    """Return the newest head for a fingerprint that knows a label; None if there is none.

    Raises:
        ArtifactError: No head that can be read knows it, and one cannot be read.
    """
    folder = heads_folder(collection)
    fitting: list[tuple[str, str]] = []
    broken: ArtifactError | None = None
    for name in names(folder):
        try:
            manifest = read_manifest(folder / name)
        except ArtifactError as exc:
            broken = broken or exc
            continue
        if label in manifest.get("classes", ()) and manifest["fingerprint"] == fingerprint:
            fitting.append((str(manifest.get("made")), name))
    if not fitting and broken is not None:  # it may be the one that knows the label
        raise ArtifactError(f"{broken}, or `clipdex adapt remove` it") from broken
    return Head.load(folder / max(fitting)[1]) if fitting else None
