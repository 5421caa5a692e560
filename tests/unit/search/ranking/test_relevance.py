"""How a score stands among an image's scores with the bank of captions."""

import numpy as np

from indexer.encoder import unit
from search.ranking.relevance import Background


def test_background_does_not_depend_on_the_batch() -> None:
    random = np.random.default_rng(0)
    bank = unit(random.normal(0.2, 1, (300, 64)))
    vectors = unit(random.normal(0.1, 1, (400, 64)))
    scores = random.normal(0, 0.1, 400).astype(np.float32)
    usual = vectors.astype(np.float64) @ bank.T.astype(np.float64)
    expected = (scores - usual.mean(axis=1)) / usual.std(axis=1)
    background = Background(bank)
    # From the 65th image on by the bank's moments.
    found = [background.standard(scores[[n]], vectors[[n]])[0] for n in range(400)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
