"""Concepts: a user's own words, each a vector learnt from images that show it.

In a query a concept's name is a word like any other. `@name` always means the concept, and is an
error if there is none of that name.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from indexer.encoder import MAX_NORM_ERROR, Embeddings
from indexer.errors import ArtifactError, QueryError
from indexer.store.records import Model
from search.ranking.query import Query

from .artifact import CONCEPT, Artifact, is_artifact, load, names, require_dim, require_shapes

KIND = CONCEPT
# Longer words are not looked up: `adaptation.artifact_writer` allows none.
MAX_NAME = 64
WORD = re.compile(r"(?<!\S)@?[\w][\w.-]*(?!\S)")


@dataclass(frozen=True)
class Concept:
    """A concept of a collection.

    Attributes:
        artifact: What its folder holds.
        vector: `(dim,)`, of unit norm, like that of an image.
    """

    artifact: Artifact
    vector: Embeddings

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a concept.

        Raises:
            ArtifactError: It is missing, damaged or changed, or not a concept.
        """
        found = load(folder)
        if found.kind != KIND:
            raise ArtifactError(f"{folder} does not hold a concept")
        require_shapes(found.arrays, {"vector": ("dim",)}, folder)
        vector = found.arrays["vector"]
        if abs(float(np.linalg.norm(vector)) - 1) > MAX_NORM_ERROR:
            raise ArtifactError(f"{folder} is damaged: its vector has no unit length")
        return cls(found, vector)


def concepts_folder(collection: Path) -> Path:
    """Return the folder of a collection's concepts, which holds one folder for each."""
    return collection / "concepts"


def expand_concepts(query: Query, collection: Path, model: Model) -> Query:
    """Replace the names of concepts in a query's text by their vectors.

    Args:
        query: The query.
        collection: The collection's folder.
        model: The collection's model.

    Raises:
        QueryError: There is no concept of the name in `@name`.
        ArtifactError: A concept is damaged or changed.
        FingerprintMismatch: A concept was learnt from vectors of another model.
    """
    folder, text = concepts_folder(collection), query.text or ""
    if "@" not in text and not folder.exists():
        return query
    found: list[Embeddings] = []

    def without_concept(match: re.Match[str]) -> str:
        name = match[0].removeprefix("@")
        concept = find_concept(collection, name)
        if concept is None:
            if match[0] == name:
                return name
            known = ", ".join(names(folder)) or "none yet, see `clipdex adapt concept --help`"
            raise QueryError(f"no such concept: {name}. There are: {known}")
        concept.artifact.require(model.fingerprint, model.name)
        require_dim(model.dim, len(concept.vector), f"the concept {name}")
        found.append(concept.vector)
        return ""

    text = WORD.sub(without_concept, text)
    return replace(query, text=" ".join(text.split()), concepts=found) if found else query


def find_concept(collection: Path, name: str) -> Concept | None:
    """Return a concept of a collection by its name; None if there is none.

    Raises:
        ArtifactError: It is damaged or changed.
    """
    if len(name) > MAX_NAME:
        return None
    folder = concepts_folder(collection) / name
    return Concept.load(folder) if is_artifact(folder) else None
