"""Index with the fake encoder, slowly enough to be killed; run by tests of faults.

usage: index_with_fake.py PHOTOS COLLECTION LOG SECONDS_A_BATCH [FINGERPRINT DIM]
"""

import json
import sys
import time
from pathlib import Path

from indexer import build
from indexer.encoder import Embeddings, Pixels
from indexer.testing import FakeEncoder


class SlowEncoder(FakeEncoder):
    """The fake, taking its time."""

    seconds = 0.0

    def encode_images(self, pixels: Pixels) -> Embeddings:
        time.sleep(self.seconds)
        return super().encode_images(pixels)


if __name__ == "__main__":
    photos, collection, log, seconds, *model = sys.argv[1:]
    fingerprint, dim = model or ("fake", "32")
    encoder = SlowEncoder(log=Path(log), fingerprint=fingerprint, dim=int(dim))
    encoder.seconds = float(seconds)
    report = build([photos], collection=collection, encoder=encoder, batch_size=4)
    sys.stdout.write(json.dumps(report.to_json()))
