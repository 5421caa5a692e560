from pathlib import Path

import numpy as np
import pytest

from indexer.encoder import Embeddings, Encoder
from indexer.errors import ImageError, QueryError
from indexer.testing import FakeEncoder
from search.ranking.image_query import encode_image_files
from search.ranking.query import Query
from search.request import SearchRequest
from support.images import make_photo


@pytest.fixture
def encoder() -> Encoder:
    return FakeEncoder()


def vector(encoder: Encoder, request: SearchRequest) -> Embeddings:
    nothing = np.zeros((0, encoder.dim), np.float32)
    return Query.of(request).encode(encoder).vector(nothing)


def test_a_query_is_the_unit_sum_of_its_parts(encoder: Encoder, tmp_path: Path) -> None:
    photos = [make_photo(tmp_path / f"{number}.png", number) for number in range(2)]
    dog, cat, night = encoder.encode_texts(["dog", "cat", "night"])
    one, two = encode_image_files(encoder, photos)
    expected = 2 * dog + 0.5 * (one + two) - cat - night
    expected /= np.linalg.norm(expected)
    for images in (photos, [photo.read_bytes() for photo in photos]):
        request = SearchRequest(
            "dog", images=images, without=["cat", "night"], text_weight=2, image_weight=0.5
        )
        assert np.allclose(vector(encoder, request), expected, atol=1e-6)


def test_unwanted_images_are_subtracted_at_half_their_weight(
    encoder: Encoder, tmp_path: Path
) -> None:
    photos = [make_photo(tmp_path / f"{number}.png", number) for number in range(3)]
    one, two, three = encode_image_files(encoder, photos)
    (dog,), stored = encoder.encode_texts(["dog"]), encoder.encode_texts(["four", "five", "six"])
    request = SearchRequest(
        "dog", images=[7, photos[0], 8], unlike=[photos[1], 9, photos[2]], image_weight=3
    )
    assert request.ids == [7, 8, 9]
    found = Query.of(request).encode(encoder).vector(stored)
    expected = dog + 3 * (one + stored[0] + stored[1]) - 1.5 * (two + three + stored[2])
    assert np.allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_a_text_alone_is_its_own_vector(encoder: Encoder) -> None:
    expected = encoder.encode_texts(["dog"])[0]
    assert np.allclose(vector(encoder, SearchRequest(" dog ")), expected, atol=1e-6)


def test_a_query_without_direction_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    for request in (
        SearchRequest(),
        SearchRequest("  "),
        SearchRequest(without=["cat"]),
        SearchRequest(unlike=[1]),
    ):
        with pytest.raises(QueryError, match="nothing to search for"):
            vector(encoder, request)
    with pytest.raises(QueryError, match="cancel"):
        vector(encoder, SearchRequest("dog", without=["dog"]))
    with pytest.raises(ImageError, match="missing"):
        vector(encoder, SearchRequest(images=[tmp_path / "missing.jpg"]))
