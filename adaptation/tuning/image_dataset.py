"""Images for training: cropped and mirrored differently each time they are seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from adaptation.task import Rows
from indexer.encoder import Pixels
from indexer.images.decode import Limits, decode
from indexer.images.preprocess import Preprocess
from indexer.sources.reading import read_location

# Decoded images are kept at this many times the model's input size, so that crops fit.
CROP_MARGIN = 1.25
# Images preprocessed as for indexing are held in memory, too, up to this many bytes.
MAX_BYTES_HELD = 2**30
# The smallest share of an image that a crop keeps; mild, since the encoder is trained already.
MIN_CROP = 0.6


@dataclass
class Images:
    """Images that are decoded once and held in memory at a little more than input size.

    Methods raise ImageError for a file that cannot be read any more.

    Attributes:
        paths: Of the examples.
        preprocess: The model's preprocessing.
        limits: The largest file and image that are read.
    """

    paths: Sequence[bytes]
    preprocess: Preprocess
    limits: Limits

    def __post_init__(self) -> None:
        self._held: dict[int, Image.Image] = {}
        self._plain: dict[int, Pixels] = {}

    def plain(self, rows: Rows) -> Pixels:
        """Return `(n, 3, h, w)`, preprocessed as for indexing."""
        return np.stack([self._pixels(row) for row in rows.tolist()])

    def augmented(self, rows: Rows, *, seed: int, epoch: int) -> Pixels:
        """Return `(n, 3, h, w)`, randomly cropped and mirrored by seed, epoch and row."""
        height, width = self.preprocess.size
        change = v2.Compose(
            [
                v2.RandomResizedCrop((height, width), scale=(MIN_CROP, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
            ]
        )
        pixels = []
        with torch.random.fork_rng(devices=[]):
            for row in rows.tolist():
                torch.manual_seed(hash((seed, epoch, row)) % 2**63)
                pixels.append(np.asarray(change(self._small(row))).transpose(2, 0, 1))
        return np.ascontiguousarray(np.stack(pixels))

    def batches(self, size: int) -> Iterator[tuple[Rows, Pixels]]:
        """Yield the rows and pixels of all images in order, `size` at a time."""
        for start in range(0, len(self.paths), size):
            rows = np.arange(start, min(start + size, len(self.paths)))
            yield rows, self.plain(rows)

    def _pixels(self, row: int) -> Pixels:
        """Return `(3, h, w)`, preprocessed as for indexing."""
        if row in self._plain:
            return self._plain[row]
        pixels = self.preprocess.pixels(self._full(row))
        if (len(self._plain) + 1) * pixels.nbytes <= MAX_BYTES_HELD:
            self._plain[row] = pixels
        return pixels

    def _full(self, row: int) -> Image.Image:
        data = read_location(self.paths[row], self.limits)
        size = self.preprocess.size
        return decode(data, self.limits, at_least=size, name=self.paths[row]).image

    def _small(self, row: int) -> Image.Image:
        if row not in self._held:
            image = self._full(row)
            factor = CROP_MARGIN * max(self.preprocess.size) / min(image.size)
            if factor < 1:
                size = (round(image.width * factor), round(image.height * factor))
                image = image.resize(size, Image.Resampling.BICUBIC)
            self._held[row] = image
        return self._held[row]
