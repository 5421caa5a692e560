"""Concepts: a user's own words, each a vector learnt from images that show it.

In a query a concept's name is a word like any other; `@name` stands for nothing else, and is an
error where there is no such concept.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from indexer.encoder import Embeddings
from indexer.errors import ArtifactError, QueryError
from indexer.store.records import Model
from search.ranking.query import Query

from .artifact import MANIFEST, Artifact, load, names

KIND = "concept"
WORD = re.compile(r"(?<!\S)@?[\w][\w.-]*(?!\S)")


@dataclass(frozen=True)
class Concept:
    """vector: `(dim,)`, of unit length, as an image's."""

    artifact: Artifact
    vector: Embeddings

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The concept in a folder. Raises ArtifactError for one that is missing or changed."""
        found = load(folder)
        if found.kind != KIND or "vector" not in found.arrays:
            raise ArtifactError(f"{folder} holds no concept")
        return cls(found, found.arrays["vector"])


def concepts_folder(collection: Path) -> Path:
    """Where a collection keeps its concepts, one folder each."""
    return collection / "concepts"


def expand_concepts(query: Query, collection: Path, model: Model) -> Query:
    """The query with the names of concepts taken out of its text and their vectors put in.

    Raises QueryError for an `@name` that there is not, ArtifactError, FingerprintMismatch.
    """
    folder, text = concepts_folder(collection), query.text or ""
    if "@" not in text and not folder.exists():
        return query
    found: list[Embeddings] = []

    def taken(match: re.Match[str]) -> str:
        name = match[0].removeprefix("@")
        concept = find_concept(collection, name)
        if concept is None:
            if match[0] == name:
                return name
            known = ", ".join(names(folder)) or "none yet, see `clipdex adapt concept --help`"
            raise QueryError(f"no concept is called {name} here. There are: {known}")
        concept.artifact.require(model.fingerprint, model.name)
        found.append(concept.vector)
        return ""

    text = WORD.sub(taken, text)
    return replace(query, text=" ".join(text.split()), concepts=found) if found else query


def find_concept(collection: Path, name: str) -> Concept | None:
    """A concept by its name in the collection; None where there is none. Raises ArtifactError."""
    folder = concepts_folder(collection) / name
    return Concept.load(folder) if (folder / MANIFEST).exists() else None
