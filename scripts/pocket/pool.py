"""The training images in the device's memory, decoded as their files arrive."""

import io
import threading
import time
import warnings
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE = 260


class ImagePool:
    """Square images in 8 bits, and which of them are here.

    Args:
        folder: Where images_NN.npz are, or will be.
        count: How many images there are in all.
        workers: Decoding processes; they are started before anything touches a GPU.
    """

    def __init__(self, folder: Path, count: int, workers: int) -> None:
        self._folder = folder
        self._processes = get_context("fork").Pool(workers)
        self.here = np.zeros(count, bool)
        self.aspects = np.ones(count, np.float32)
        self._count = count
        self._read: set[str] = set()

    def start(self, device: torch.device) -> None:
        """Begin to decode what is there, and what comes, in the background."""
        self.pixels = torch.empty((self._count, 3, SIDE, SIDE), dtype=torch.uint8, device=device)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.here.all():
            for path in sorted(self._folder.glob("images_*.npz")):
                if path.name not in self._read:
                    self._take(path)
                    self._read.add(path.name)
            time.sleep(0.3)

    def _take(self, path: Path) -> None:
        with np.load(path) as file:
            rows, aspects, lengths = file["rows"], file["aspects"], file["lengths"]
            pack = file["pack"].tobytes()
        ends = np.cumsum(lengths)
        parts = [pack[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        batches = [parts[at : at + 32] for at in range(0, len(parts), 32)]
        at = 0
        for squares in self._processes.imap(decoded, batches):
            some = rows[at : at + len(squares)]
            here = torch.from_numpy(squares).to(self.pixels.device).permute(0, 3, 1, 2)
            self.pixels[torch.from_numpy(some).to(self.pixels.device)] = here
            self.aspects[some] = aspects[at : at + len(squares)]
            self.here[some] = True
            at += len(squares)


def views(pixels: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Return crops (batch, 3, side, side), 0 to 1, of 8-bit images.

    Args:
        pixels: Images (batch, 3, height, width).
        boxes: Centre x and y and half width and height of each crop, of an image from -1 to 1; a
            negative half width mirrors.
        side: How many pixels wide and high the crops become.
    """
    theta = torch.zeros(len(boxes), 2, 3, device=pixels.device)
    theta[:, 0, 0], theta[:, 1, 1] = boxes[:, 2], boxes[:, 3]
    theta[:, :, 2] = boxes[:, :2]
    grid = torch.nn.functional.affine_grid(theta, [len(boxes), 3, side, side], align_corners=False)
    return torch.nn.functional.grid_sample(
        pixels.float() / 255, grid, padding_mode="border", align_corners=False
    )


def centred(aspects: Tensor) -> Tensor:
    """Return the boxes that the model's own preprocessing crops: the square in the middle."""
    boxes = torch.zeros(len(aspects), 4, device=aspects.device)
    boxes[:, 2] = (1 / aspects).clamp(max=1)
    boxes[:, 3] = aspects.clamp(max=1)
    return boxes


def decoded(parts: list[bytes]) -> np.ndarray:
    """Return encoded images as squares (count, SIDE, SIDE, 3) in 8 bits."""
    images = []
    warnings.simplefilter("ignore")
    for content in parts:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        images.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    return np.stack(images)
