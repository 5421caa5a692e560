"""How many images a second an encoder takes on this machine: a trial of a second."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from indexer.bundles.samples import sample_images
from indexer.encoder import BatchEncoder, ModelEncoder, Pixels

TRIAL_SECONDS = 1.0
# Larger batches save no time on a CPU, and a slow model has to end in time.
LARGEST_BATCH = 4


def images_per_second(encoder: ModelEncoder, seconds: float = TRIAL_SECONDS) -> float:
    """Encode sample images for a while, with all threads that an index run uses.

    Reading and decoding files is not part of it.

    Args:
        encoder: The encoder.
        seconds: For how long; one batch of each thread is always completed.

    Returns:
        Images a second.
    """
    threads, batch = 1, LARGEST_BATCH
    if isinstance(encoder, BatchEncoder):
        threads, batch = max(1, encoder.workers), min(LARGEST_BATCH, max(encoder.batch_sizes))
    pixels: Pixels = np.stack([encoder.preprocess.pixels(image) for image in sample_images(batch)])
    encoder.encode_images(pixels)  # loads the model
    began = time.perf_counter()

    def encode(_: int) -> int:
        done = 0
        while not done or time.perf_counter() - began < seconds:
            encoder.encode_images(pixels)
            done += len(pixels)
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(encode, range(threads)))
    return done / (time.perf_counter() - began)
