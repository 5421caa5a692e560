"""Heads and concepts that an earlier version wrote are read and give the same answers.

tests/golden/head holds three heads and a concept of the version before "figures" became "metrics"
and "pictures" became "images", and the probabilities that it gave for some vectors.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from search.labels.artifact import read_manifest
from search.labels.concepts import find_concept
from search.labels.heads import find_head

GOLDEN = Path(__file__).parents[3] / "golden" / "head"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.mark.parametrize("name", sorted(EXPECTED["heads"]))
def test_probabilities_are_unchanged(name: str) -> None:
    head, expected = find_head(GOLDEN, name), EXPECTED["heads"][name]
    queries = np.array(EXPECTED["queries"], np.float32)
    np.testing.assert_allclose(head.probabilities(queries), expected["probabilities"], atol=1e-6)
    none = head.none(queries)
    assert none is not None
    np.testing.assert_allclose(none, expected["none"], atol=1e-6)
    best = [answer[0][0][0] for answer in head.best(queries, 1)]
    rows = np.argmax(expected["probabilities"], axis=1)
    assert best == [("cat", "dog", "pictures")[row] for row in rows]


def test_entries_have_their_present_names() -> None:
    manifest = read_manifest(GOLDEN / "heads" / "probe")
    written = json.loads((GOLDEN / "heads" / "probe" / "manifest.json").read_text())
    assert "figures" in written
    assert "figures" not in manifest
    assert manifest["metrics"]["validation"]["images"] == 12
    assert manifest["metrics"]["held_out"]["images"] == 18
    assert manifest["examples"] == {"cat": 6, "dog": 6, "pictures": 6}  # a class stays as it is


def test_a_concept_names_its_images() -> None:
    concept = find_concept(GOLDEN, "round")
    assert concept is not None
    assert concept.vector.shape == (12,)
    assert concept.artifact.metadata["images"] == {"like": ["a.jpg", "b.jpg"], "unlike": ["c.jpg"]}
