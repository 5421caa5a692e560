"""Heads: classifiers on frozen vectors, learnt by `clipdex adapt train`, evaluated in NumPy."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit
from indexer.errors import ArtifactError

from .artifact import MANIFEST, Arrays, Artifact, load, names, read_manifest

# A vote that no neighbour gave still has a logarithm.
MIN_VOTE = 1e-6

Floats = NDArray[np.float64]


def linear(vectors: Embeddings, arrays: Arrays) -> Floats:
    """`weights` `(classes, dim)`, `bias` `(classes,)`."""
    return np.asarray(vectors @ arrays["weights"].T + arrays["bias"], dtype=np.float64)


def mlp(vectors: Embeddings, arrays: Arrays) -> Floats:
    """A hidden layer of `hidden` rectified units between two linear maps."""
    hidden = np.maximum(vectors @ arrays["weights_in"].T + arrays["bias_in"], 0)
    return np.asarray(hidden @ arrays["weights_out"].T + arrays["bias_out"], dtype=np.float64)


def cache(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Zero-shot logits and, for each key `(n, dim)`, exp(-beta (1 - cosine)) for its class."""
    alpha, beta = (float(arrays[name][0]) for name in ("alpha", "beta"))
    affinity = np.exp(-beta * (1 - vectors @ arrays["keys"].T))
    votes = affinity @ arrays["values"]
    return np.asarray(vectors @ arrays["weights"].T + alpha * votes, dtype=np.float64)


def neighbours(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Logarithms of the shares of the k nearest keys' votes, weighted exp(cosine / temperature)."""
    cosines = vectors @ arrays["keys"].T
    k = min(int(arrays["k"][0]), cosines.shape[1])
    temperature = float(arrays["temperature"][0])
    nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    close = np.take_along_axis(cosines, nearest, axis=1)
    weights = np.exp((close - close.max(axis=1, keepdims=True)) / temperature)
    votes = np.einsum("nk,nkc->nc", weights, arrays["values"][nearest])
    return np.asarray(np.log(votes / weights.sum(axis=1, keepdims=True) + MIN_VOTE), np.float64)


def projected(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Cosines, times `scale`, with class means `(classes, m)` after a projection `(m, dim)`."""
    scale = float(arrays["scale"][0])
    seen = unit(vectors @ arrays["projection"].T)
    return np.asarray(scale * (seen @ arrays["means"].T), dtype=np.float64)


def adapter(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Zero-shot logits after a bottleneck `(hidden, dim)`, `(dim, hidden)` of rectified units,
    whose share in the vectors is `ratio`.
    """
    ratio = float(arrays["ratio"][0])
    hidden = np.maximum(vectors @ arrays["weights_in"].T, 0)
    adapted = np.maximum(hidden @ arrays["weights_out"].T, 0)
    mixed = unit(ratio * adapted + (1 - ratio) * vectors)
    return np.asarray(mixed @ arrays["weights"].T, dtype=np.float64)


KINDS: dict[str, tuple[Callable[[Embeddings, Arrays], Floats], tuple[str, ...]]] = {
    "linear": (linear, ("weights", "bias")),
    "mlp": (mlp, ("weights_in", "bias_in", "weights_out", "bias_out")),
    "cache": (cache, ("weights", "keys", "values", "alpha", "beta")),
    "neighbours": (neighbours, ("keys", "values", "k", "temperature")),
    "adapter": (adapter, ("weights_in", "weights_out", "ratio", "weights")),
    "projected": (projected, ("projection", "means", "scale")),
}
"""Each kind's logits `(n, classes)` of unit vectors `(n, dim)`, and the arrays that it reads."""


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """`(n, classes)` probabilities, each row summing to 1."""
    scaled = logits / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True)
class Head:
    """A classifier for the vectors of one fingerprint.

    temperature: what logits are divided by. The arrays `centres` `(classes, dim)` and `rejection`
    (intercept, slope) give the probability that an image is of none of the classes, where there
    are any.
    """

    artifact: Artifact
    classes: tuple[str, ...]
    temperature: float

    @property
    def name(self) -> str:
        """As it is called in the collection."""
        return self.artifact.name

    @property
    def _arrays(self) -> Arrays:
        return self.artifact.arrays

    def logits(self, vectors: Embeddings) -> Floats:
        """`(n, dim)` unit vectors to `(n, classes)`, before the temperature."""
        return KINDS[self.artifact.kind][0](vectors, self._arrays)

    def probabilities(self, vectors: Embeddings) -> Floats:
        """`(n, dim)` unit vectors to `(n, classes)`, each row summing to 1."""
        return softmax(self.logits(vectors), self.temperature)

    def none(self, vectors: Embeddings) -> Floats | None:
        """`(n,)`: the probability that none of the classes fits; None where it was not learnt."""
        if "rejection" not in self._arrays:
            return None
        return none_of_these(vectors, self._arrays["centres"], self._arrays["rejection"])

    def best(
        self, vectors: Embeddings, top: int
    ) -> list[tuple[tuple[tuple[str, float], ...], float | None]]:
        """For each vector its `top` best classes with probabilities, best first, and P(none)."""
        shares = self.probabilities(vectors)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        none = self.none(vectors)
        rejected = [None] * len(vectors) if none is None else none.round(4).tolist()
        return [
            (tuple((self.classes[column], float(row[column])) for column in columns), one)
            for row, columns, one in zip(shares, order, rejected, strict=True)
        ]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The head in a folder. Raises ArtifactError for one that is missing or changed."""
        found = load(folder)
        if found.kind not in KINDS or not set(KINDS[found.kind][1]) <= found.arrays.keys():
            raise ArtifactError(f"{folder} holds no head of a kind that this clipdex knows")
        return cls(found, tuple(found.metadata["classes"]), float(found.metadata["temperature"]))


def none_of_these(vectors: Embeddings, centres: Embeddings, rejection: Embeddings) -> Floats:
    """`(n,)`: a logistic of each vector's cosine with the nearest of the centres."""
    nearest = (vectors @ centres.T).max(axis=1).astype(np.float64)
    shares: Floats = 1 / (1 + np.exp(-(float(rejection[0]) + float(rejection[1]) * nearest)))
    return shares


def heads_folder(collection: Path) -> Path:
    """Where a collection keeps its heads, one folder each."""
    return collection / "heads"


def find_head(collection: Path, name: str) -> Head:
    """A head by its name in the collection, or by its folder. Raises ArtifactError for none."""
    own = heads_folder(collection) / name
    for place in [own, Path(name)] if os.sep not in name else [Path(name)]:
        if (place / MANIFEST).exists():
            return Head.load(place)
    known = ", ".join(names(heads_folder(collection))) or "none yet, see `clipdex adapt train -h`"
    raise ArtifactError(f"no head is called {name} here. There are: {known}")


def head_with(collection: Path, label: str, fingerprint: str) -> Head | None:
    """The newest head for vectors of this fingerprint that knows a label; None where none does."""
    folder = heads_folder(collection)
    known = [read_manifest(folder / name) for name in names(folder)]
    fitting = [
        metadata
        for metadata in known
        if label in metadata["classes"] and metadata["fingerprint"] == fingerprint
    ]
    newest = max(fitting, key=lambda one: str(one.get("made")), default=None)
    return Head.load(folder / newest["name"]) if newest else None
