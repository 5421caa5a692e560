from pathlib import Path

import numpy as np
import pytest

from indexer.encoder import Encoder
from indexer.errors import ImageError, QueryError
from indexer.testing import FakeEncoder
from search.ranking.image_query import encode_image_files
from search.ranking.query import Query
from support.images import make_photo


@pytest.fixture
def encoder() -> Encoder:
    return FakeEncoder()


def test_a_query_is_the_unit_sum_of_its_parts(encoder: Encoder, tmp_path: Path) -> None:
    photos = [make_photo(tmp_path / f"{number}.png", number) for number in range(2)]
    dog, cat, night = encoder.encode_texts(["dog", "cat", "night"])
    one, two = encode_image_files(encoder, photos)
    expected = 2 * dog + 0.5 * (one + two) - cat - night
    expected /= np.linalg.norm(expected)
    query = Query("dog", photos, ["cat", "night"], text_weight=2, image_weight=0.5)
    assert np.allclose(query.vector(encoder), expected, atol=1e-6)


def test_a_text_alone_is_its_own_vector(encoder: Encoder) -> None:
    assert np.allclose(Query(" dog ").vector(encoder), encoder.encode_texts(["dog"])[0], atol=1e-6)


def test_a_query_without_direction_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    for query in (Query(), Query("  "), Query(without=["cat"])):
        with pytest.raises(QueryError, match="nothing to search for"):
            query.vector(encoder)
    with pytest.raises(QueryError, match="cancel"):
        Query("dog", without=["dog"]).vector(encoder)
    with pytest.raises(QueryError, match="cancel"):
        Query("dog", text_weight=float("nan")).vector(encoder)
    with pytest.raises(ImageError, match="missing"):
        Query(images=[tmp_path / "missing.jpg"]).vector(encoder)
