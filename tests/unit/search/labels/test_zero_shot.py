from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from indexer import build
from indexer.errors import QueryError
from indexer.testing import FakeEncoder
from search import Engine
from search.labels.apply import label_collection, label_files
from search.labels.zero_shot import Labeller, class_vectors
from support.images import make_photo

TEMPLATES = ("a photo of a {}", "a drawing of a {}", "{}")


def test_a_class_is_the_unit_mean_over_its_prompts() -> None:
    encoder = FakeEncoder()
    (weights,) = class_vectors(encoder, ["cat"], TEMPLATES)
    mean = encoder.encode_texts(["a photo of a cat", "a drawing of a cat", "cat"]).mean(axis=0)
    assert np.allclose(weights, mean / np.linalg.norm(mean), atol=1e-6)


def test_probabilities_are_a_softmax_at_the_models_scale() -> None:
    encoder = FakeEncoder()
    labeller = Labeller(encoder, ["cat", "dog", " cat ", "", "cow"], TEMPLATES)
    assert labeller.labels == ["cat", "dog", "cow"]
    vectors = encoder.encode_texts([f"image {number}" for number in range(5)])
    weights = class_vectors(encoder, ["cat", "dog", "cow"], TEMPLATES)
    expected = softmax(encoder.logit_scale * (vectors @ weights.T).astype(float), axis=1)
    assert np.allclose(labeller.probabilities(vectors), expected, atol=1e-6)
    best = labeller.best(vectors, top=2)
    for (row, none), shares in zip(best, expected, strict=True):
        assert none is None  # the fake has no estimate
        order = np.argsort(-shares)[:2]
        assert [one.label for one in row] == [labeller.labels[column] for column in order]


def test_stored_and_fresh_vectors_give_the_same_labels(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    for number in range(12):
        make_photo(tmp_path / "p" / f"{number:02}.png", number % 9)
    (tmp_path / "p" / "bad.jpg").write_text("no image")
    build([tmp_path / "p"], collection=tmp_path / "c", encoder=encoder)
    labeller = Labeller(encoder, ["cat", "dog", "cow"])
    make_photo(tmp_path / "p" / "new.png", 99)
    encoded = sum(encoder.batches)
    with Engine.open(tmp_path / "c", encoder=encoder) as engine:
        stored = {item.path: item.labels for item in label_collection(engine, labeller, top=3)}
        both = list(label_files([tmp_path / "p"], labeller, encoder, top=3, engine=engine))
    assert sum(encoder.batches) == encoded + 1
    reused = {item.path: item.labels for item in both if item.reason is None}
    new = str(tmp_path / "p" / "new.png").encode()
    assert reused.pop(new)
    assert reused.keys() == stored.keys()
    for path, labels in stored.items():
        shares, again = (
            {one.label: one.probability for one in of} for of in (labels, reused[path])
        )
        assert again == pytest.approx(shares, abs=1e-6)
    fresh = {item.path: item for item in label_files([tmp_path / "p"], labeller, encoder, top=3)}
    assert fresh.pop(str(tmp_path / "p" / "bad.jpg").encode()).reason is not None
    assert fresh.pop(new).labels
    assert stored.keys() == fresh.keys()
    for path, labels in stored.items():
        for one, other in zip(labels, fresh[path].labels, strict=True):
            assert one.label == other.label
            assert one.probability == pytest.approx(other.probability, abs=0.02)


def test_no_labels_and_bad_templates_are_refused() -> None:
    with pytest.raises(QueryError, match="no labels"):
        Labeller(FakeEncoder(), [" ", ""])
    with pytest.raises(QueryError, match="has no {} where"):
        Labeller(FakeEncoder(), ["cat"], ["a photo"])
