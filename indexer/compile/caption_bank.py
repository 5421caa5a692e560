"""The caption bank of a bundle: vectors of 1,000 captions of everything, in `captions.txt`.

An image's score with a query is compared with its scores with these captions
(`search/ranking/relevance.py`). They were written for clipdex: things, places, people doing
something, documents, drawings, science.
"""

from pathlib import Path

import numpy as np

from indexer.bundles.bundle import BANK
from indexer.encoder import Encoder

CAPTIONS = Path(__file__).parents[1] / "captions.txt"


def write_bank(encoder: Encoder, folder: Path) -> None:
    """Encode the captions and write their vectors into the bundle at `folder`."""
    captions = CAPTIONS.read_text(encoding="utf-8").splitlines()
    np.save(folder / BANK, encoder.encode_texts(captions).astype("<f2"), allow_pickle=False)
