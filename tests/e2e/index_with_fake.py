"""Index with the fake encoder, slowly enough to be killed; run by test_crash.py.

usage: index_with_fake.py PHOTOS COLLECTION LOG SECONDS_A_BATCH
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
    photos, collection, log, seconds = sys.argv[1:]
    encoder = SlowEncoder(log=Path(log))
    encoder.seconds = float(seconds)
    report = build([photos], collection=collection, encoder=encoder, batch_size=4)
    sys.stdout.write(json.dumps(report.to_json()))
