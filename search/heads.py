"""Heads: classifiers on frozen vectors, trained by `clipdex adapt`, evaluated here in NumPy.

A head is a folder of two files. `head.json` says what the head is, for which fingerprint, how it
was made and what was measured; `head.safetensors` holds its arrays. Both are covered by digests:
a head that was changed by hand or by accident is refused. Nothing is unpickled.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from indexer.digest import digest
from indexer.encoder import Embeddings, unit
from indexer.errors import FingerprintMismatch, HeadError

FORMAT = 1
MANIFEST, WEIGHTS = "head.json", "head.safetensors"
# A vote that no neighbour gave still has a logarithm.
LEAST_VOTE = 1e-6

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.float32]]


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
    return np.asarray(np.log(votes / weights.sum(axis=1, keepdims=True) + LEAST_VOTE), np.float64)


def projected(vectors: Embeddings, arrays: Arrays) -> Floats:
    """Cosines, times `scale`, with class means `(classes, m)` after a projection `(m, dim)`."""
    scale = float(arrays["scale"][0])
    seen = unit(vectors @ arrays["projection"].T)
    return np.asarray(scale * (seen @ arrays["means"].T), dtype=np.float64)


KINDS: dict[str, tuple[Callable[[Embeddings, Arrays], Floats], tuple[str, ...]]] = {
    "linear": (linear, ("weights", "bias")),
    "mlp": (mlp, ("weights_in", "bias_in", "weights_out", "bias_out")),
    "cache": (cache, ("weights", "keys", "values", "alpha", "beta")),
    "neighbours": (neighbours, ("keys", "values", "k", "temperature")),
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
    (intercept, slope) give the probability that a picture is of none of the classes, where there
    are any. facts: how it was made and what was measured, as in its manifest.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    fingerprint: str
    temperature: float
    arrays: Arrays
    facts: Mapping[str, Any]

    def logits(self, vectors: Embeddings) -> Floats:
        """`(n, dim)` unit vectors to `(n, classes)`, before the temperature."""
        return KINDS[self.kind][0](vectors, self.arrays)

    def probabilities(self, vectors: Embeddings) -> Floats:
        """`(n, dim)` unit vectors to `(n, classes)`, each row summing to 1."""
        return softmax(self.logits(vectors), self.temperature)

    def none(self, vectors: Embeddings) -> Floats | None:
        """`(n,)`: the probability that none of the classes fits; None where it was not learnt."""
        if "rejection" not in self.arrays:
            return None
        return none_of_these(vectors, self.arrays["centres"], self.arrays["rejection"])

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

    def require(self, fingerprint: str, model: str) -> None:
        """Raise FingerprintMismatch unless the head is for vectors of this fingerprint."""
        if self.fingerprint != fingerprint:
            raise FingerprintMismatch(
                f"the head {self.name} was trained on vectors of another model "
                f"({self.facts.get('model', 'unknown')}) than this collection's ({model}). Train "
                "it again with `clipdex adapt train`, or index with its model"
            )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The head in a folder. Raises HeadError for one that is missing, damaged or changed."""
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            weights = (folder / WEIGHTS).read_bytes()
        except (OSError, ValueError) as exc:
            raise HeadError(f"the head at {folder} cannot be read: {exc}") from exc
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise HeadError(
                f"the head at {folder} is of another format than this clipdex's ({FORMAT}): train "
                "it again, or upgrade clipdex"
            )
        if manifest.get("digest") != manifest_digest(manifest) or (
            manifest.get("weights") != digest(weights).hex()
        ):
            raise HeadError(
                f"the head at {folder} is not what `clipdex adapt` wrote: its files were changed. "
                "Train it again"
            )
        return cls(
            manifest["name"],
            manifest["kind"],
            tuple(manifest["classes"]),
            manifest["fingerprint"],
            float(manifest["temperature"]),
            _arrays(weights, manifest, folder),
            manifest,
        )


def none_of_these(vectors: Embeddings, centres: Embeddings, rejection: Embeddings) -> Floats:
    """`(n,)`: a logistic of each vector's cosine with the nearest of the centres."""
    nearest = (vectors @ centres.T).max(axis=1).astype(np.float64)
    shares: Floats = 1 / (1 + np.exp(-(float(rejection[0]) + float(rejection[1]) * nearest)))
    return shares


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Of all its entries but the digest itself."""
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return digest(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hex()


def _arrays(weights: bytes, manifest: Mapping[str, Any], folder: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[np.float32]] = load(weights)
    except SafetensorError as exc:
        raise HeadError(f"the weights of the head at {folder} cannot be read: {exc}") from exc
    kind = manifest.get("kind")
    if kind not in KINDS or not set(KINDS[kind][1]) <= arrays.keys():
        raise HeadError(f"the head at {folder} is of a kind that this clipdex does not know")
    return arrays


def heads_folder(collection: Path) -> Path:
    """Where a collection keeps its heads, one folder each."""
    return collection / "heads"


def find_head(collection: Path, name: str) -> Head:
    """A head by its name in the collection, or by its folder. Raises HeadError for none."""
    places = [Path(name)] if "/" in name else [heads_folder(collection) / name, Path(name)]
    for place in places:
        if (place / MANIFEST).exists():
            return Head.load(place)
    known = ", ".join(head_names(collection)) or "none yet: see `clipdex adapt train --help`"
    raise HeadError(f"no head is called {name} in this collection; there are: {known}")


def head_names(collection: Path) -> list[str]:
    """The names of a collection's heads, in order."""
    names = (place.parent.name for place in heads_folder(collection).glob(f"*/{MANIFEST}"))
    return sorted(name for name in names if not name.startswith("."))  # half-written ones
