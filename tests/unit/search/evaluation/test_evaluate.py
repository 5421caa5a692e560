"""Metrics against NumPy brute force and scikit-learn, with the fake encoder's random vectors."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from indexer import build
from indexer.store.collection import Collection
from indexer.store.lookup import Lookup
from indexer.testing import FakeEncoder
from search.evaluation.dataset import Known
from search.evaluation.evaluate import embed_dataset, evaluate
from search.labels.zero_shot import class_vectors
from support.images import make_photo

CLASSES = ("cat", "dog", "cow", "owl", "eel", "ape", "elk")


@pytest.fixture
def truth(tmp_path: Path) -> dict[bytes, Known]:
    """50 images with a label and one to three captions, and a copy of one."""
    known = {}
    for number in range(50):
        path = make_photo(tmp_path / "p" / f"{number:02}.png", number, (48, 40))
        captions = [f"caption {number} {place}" for place in range(1 + number % 3)]
        known[str(path).encode()] = Known([CLASSES[number % 7]], captions)
    (tmp_path / "p" / "copy.png").write_bytes((tmp_path / "p" / "00.png").read_bytes())
    known[str(tmp_path / "p" / "copy.png").encode()] = Known([], ["caption of a copy"])
    return known


def test_metrics_agree_with_brute_force(truth: dict[bytes, Known]) -> None:
    encoder = FakeEncoder(dim=16)
    data = embed_dataset(truth, encoder)
    assert len(data.vectors) == 50
    assert data.captions[0] == ["caption 0 0", "caption of a copy"]
    result = evaluate(data, encoder, name="fake", templates=("{}", "a {}"))

    labels = np.array([sorted(CLASSES).index(own[0]) for own in data.labels])
    classes = class_vectors(encoder, sorted(CLASSES), ("{}", "a {}"))
    scores = data.vectors @ classes.T
    assert result.zero_shot is not None
    for k, value in ((1, result.zero_shot.top_1), (5, result.zero_shot.top_5)):
        expected = top_k_accuracy_score(labels, scores, k=k)
        assert value == pytest.approx(expected, abs=1e-6)
    right = scores.argmax(axis=1) == labels
    per_class = np.mean([right[labels == number].mean() for number in range(7)])
    assert result.zero_shot.mean_per_class == pytest.approx(per_class, abs=1e-6)
    assert result.label_retrieval is not None
    expected = np.mean(
        [average_precision_score(labels == number, scores[:, number]) for number in range(7)]
    )
    assert result.label_retrieval.mean_average_precision == pytest.approx(expected, abs=1e-6)
    best = np.argsort(-scores, axis=0)[:10]
    precision = (labels[best] == np.arange(7)).mean()
    assert result.label_retrieval.precision_at_10 == pytest.approx(precision, abs=1e-6)

    texts = [text for own in data.captions for text in own]
    owner = np.repeat(np.arange(50), [len(own) for own in data.captions])
    similar = encoder.encode_texts(texts) @ data.vectors.T
    for found, table, right in (
        (result.text_to_image, similar, owner[:, None] == np.arange(50)),
        (result.image_to_text, similar.T, np.arange(50)[:, None] == owner),
    ):
        ranks = []
        for row, wanted in zip(table, right, strict=True):
            order = list(np.argsort(-row))
            ranks.append(1 + min(order.index(item) for item in np.flatnonzero(wanted)))
        assert found is not None
        assert found.queries == len(table)
        assert found.median_rank == np.median(ranks)
        for k, value in (
            (1, found.recall_at_1),
            (5, found.recall_at_5),
            (10, found.recall_at_10),
        ):
            assert value == pytest.approx(np.mean(np.array(ranks) <= k), abs=1e-6)
        expected = np.mean(
            [average_precision_score(*pair) for pair in zip(right, table, strict=True)]
        )
        assert found.mean_average_precision == pytest.approx(expected, abs=1e-6)


def test_images_of_the_collection_are_not_encoded_again(
    truth: dict[bytes, Known], tmp_path: Path
) -> None:
    encoder = FakeEncoder(dim=16)
    folder = tmp_path / "half"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").write_bytes((tmp_path / "p" / f"{number:02}.png").read_bytes())
    build([folder], collection=tmp_path / "c", encoder=encoder)
    before = sum(encoder.batches)
    with Lookup(Collection(tmp_path / "c"), encoder.fingerprint) as stored:
        data = embed_dataset(truth, encoder, stored=stored)
    assert sum(encoder.batches) - before == 30
    fresh = embed_dataset(truth, encoder)
    assert np.abs(data.vectors - fresh.vectors).max() < 1e-3  # stored in half precision
    assert data.labels == fresh.labels


def test_several_labels_are_each_right(tmp_path: Path) -> None:
    encoder = FakeEncoder(dim=16)
    path = str(make_photo(tmp_path / "a.png", 1)).encode()
    other = str(make_photo(tmp_path / "b.png", 2)).encode()
    data = embed_dataset({path: Known(["x", "y"]), other: Known(["z"])}, encoder)
    scores = data.vectors[0] @ class_vectors(encoder, ["x", "y", "z"], ("{}",)).T
    result = evaluate(data, encoder, name="fake", templates=("{}",))
    single = embed_dataset({other: Known(["z"])}, encoder)
    right = scores.argmax() in (0, 1)
    z = single.vectors[0] @ class_vectors(encoder, ["x", "y", "z"], ("{}",)).T
    assert result.zero_shot is not None
    assert result.zero_shot.top_1 == (right + (z.argmax() == 2)) / 2
    assert result.text_to_image is None
