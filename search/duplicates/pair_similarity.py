"""Measures how alike two images are once one is aligned with the other.

Two small luminance images are registered by an affine transform, which covers a crop of either, a
small shift or turn of the camera, and a change of the aspect ratio. Then they are compared by
their correlation, which ignores brightness and contrast. Different images of one subject or
composition differ in detail, so slow shading is removed first.

Source: Baker & Matthews, Lucas-Kanade 20 Years On: A Unifying Framework, IJCV 2004, section 3.2
(inverse compositional alignment); the gain and offset follow Evangelidis & Psarakis, 2008.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Patches = NDArray[Any]
"""`(n, side, side)` luminance, the whole image squeezed into a square."""

# The minimum correlation of near-duplicates; chosen on Caltech-101's training photos, see
# benchmarks/duplicates.py.
THRESHOLD = 0.92
# The band of detail that is compared, in thumbnail pixels: resampling and compression change finer
# detail, and different images agree in their slow shading.
FINE_SIGMA, COARSE_SIGMA = 0.7, 4.0
STEPS = 10
# Most pairs are rejected at half the size, after a few steps, by a correlation below this.
SCREEN_STEPS, SCREEN = 3, 0.6
# The part of the image in which the search for the template begins, in its middle: between that of
# an image as it is and of one cropped by a tenth on each side, either of which it then finds.
START = 0.94
# The parts that are compared must cover at least this share of both images.
MIN_OVERLAP = 0.7
# How far the transform may be from the identity: scales and shifts (10% off one side is 0.1), and
# turns (4.5 degrees are 0.08). With more freedom, different line drawings of one thing would align.
MAX_CHANGE, MAX_TURN = 0.2, 0.08
LIMITS = np.array([[1, 0, 1], [0, 1, 1]], np.float32) * (MAX_CHANGE - MAX_TURN)
LIMITS += MAX_TURN
# Gray levels (of 255, standard deviation) below which detail is noise and proves nothing.
MIN_DETAIL = 1.5
# Pairs aligned at once; each takes about 150 kB meanwhile.
BATCH = 256
IDENTITY = np.eye(3, dtype=np.float32)


def correlations(
    members: NDArray[np.uint8] | Patches, others: NDArray[np.uint8] | Patches
) -> NDArray[np.float32]:
    """Return the correlations of pairs of images after alignment.

    Args:
        members: Luminance `(n, side, side)`.
        others: Luminance `(n, side, side)` of the other image of each pair.

    Returns:
        `(n,)`, 0 to 1; 0 if an image has no detail or the two cannot be aligned.
    """
    parts = [
        _correlations(members[start : start + BATCH], others[start : start + BATCH])
        for start in range(0, len(members), BATCH)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def detail(patches: NDArray[np.uint8] | Patches) -> Patches:
    """Return the part of luminance `(n, side, side)` in the band of detail that is compared."""
    values = patches.astype(np.float32)
    return blurred(values, FINE_SIGMA) - blurred(values, COARSE_SIGMA)


def _correlations(
    members: NDArray[np.uint8] | Patches, others: NDArray[np.uint8] | Patches
) -> NDArray[np.float32]:
    template, image = detail(members), detail(others)
    likely = _register(halved(template), halved(image), SCREEN_STEPS) >= SCREEN
    for part in (template, image):
        likely &= part.std(axis=(1, 2)) >= MIN_DETAIL
    aligned = np.zeros(len(members), np.float32)
    if likely.any():
        aligned[likely] = _register(template[likely], image[likely], STEPS)
    return aligned


def _register(template: Patches, image: Patches, steps: int) -> NDArray[np.float32]:
    """Return the best correlations `(n,)` while images are moved towards templates."""
    count, side, _ = template.shape
    centres = (2 * np.arange(side, dtype=np.float32) + 1) / side - 1
    y, x = (axis.ravel() for axis in np.meshgrid(centres, centres, indexing="ij"))
    plane = np.stack([x, y, np.ones_like(x)])
    target = template.reshape(count, -1)
    slope_y, slope_x = (part * (side / 2) for part in np.gradient(template, axis=(1, 2)))
    slopes = np.stack([slope_x.reshape(count, -1), slope_y.reshape(count, -1)], axis=1)
    # How the template changes with each coefficient of the transform, (n, 6, side * side).
    descent = (slopes[:, :, np.newaxis] * plane).reshape(count, 6, -1)
    warp, best = _identities(count), np.zeros(count, np.float32)
    warp[:, :2] *= START
    for step in range(steps + 1):
        moved, inside = _sampled(image, warp[:, :2] @ plane)
        wanted, seen = _normalised(target, inside), _normalised(moved, inside)
        usable = (inside.mean(axis=1) >= MIN_OVERLAP) & _small(warp)
        score = np.where(usable, np.einsum("np,np->n", wanted, seen), 0)
        best = np.maximum(best, score)
        if step == steps:
            break
        norm = np.sqrt((target**2 * inside).sum(axis=1, keepdims=True))
        error = ((seen - wanted) * norm)[:, :, np.newaxis]
        visible = descent * inside[:, np.newaxis]
        hessian = visible @ descent.transpose(0, 2, 1)
        damping = 1e-3 * np.trace(hessian, axis1=1, axis2=2) + 1e-3
        hessian += damping[:, None, None] * np.eye(6, dtype=np.float32)
        change = _identities(count)
        change[:, :2] += (
            np.linalg.solve(hessian, visible @ error).reshape(count, 2, 3).clip(-0.2, 0.2)
        )
        warp = warp @ np.linalg.inv(change)
        warp = np.where(_small(warp)[:, None, None], warp, IDENTITY)
    return best


def _identities(count: int) -> Patches:
    return np.tile(IDENTITY, (count, 1, 1))


def _small(warp: Patches) -> NDArray[np.bool_]:
    """Return whether a crop, a shift or a small turn could make each transform."""
    excess: Patches = np.abs(warp[:, :2] - IDENTITY[:2]) - LIMITS
    small: NDArray[np.bool_] = excess.max(axis=(1, 2)) < 0
    return small


def _sampled(image: Patches, points: Patches) -> tuple[Patches, Patches]:
    """Return images at points `(n, 2, p)` in [-1, 1], bilinear; and 1 where they lie inside."""
    side = image.shape[-1]
    within: NDArray[np.bool_] = np.abs(points) <= 1
    inside = (within[:, 0] & within[:, 1]).astype(np.float32)
    places = ((points + 1) * (side / 2) - 0.5).clip(0, side - 1)
    corner = np.minimum(places.astype(np.int32), side - 2)
    right, down = (places - corner).transpose(1, 0, 2)
    flat = image.reshape(len(image), -1)
    at = corner[:, 1] * side + corner[:, 0]
    rows: list[Patches] = []
    for start in (at, at + side):
        left = np.take_along_axis(flat, start, 1)
        rows.append(left + right * (np.take_along_axis(flat, start + 1, 1) - left))
    moved: Patches = rows[0] + down * (rows[1] - rows[0])
    return moved, inside


def _normalised(values: Patches, inside: Patches) -> Patches:
    """Return values `(n, p)` with mean 0 and norm 1 over the part inside, and 0 elsewhere."""
    share = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    centred = (values - (values * inside).sum(axis=1, keepdims=True) / share) * inside
    scaled: Patches = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return scaled


def halved(patches: Patches) -> Patches:
    """Return images `(n, side, side)` at half the side, by means of 2 x 2 pixels."""
    count, side, _ = patches.shape
    smaller: Patches = patches.reshape(count, side // 2, 2, side // 2, 2).mean(axis=(2, 4))
    return smaller


def blurred(patches: Patches, sigma: float) -> Patches:
    """Return images after a Gaussian blur whose weights add up to 1 at the border too."""
    side = patches.shape[-1]
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    kernel: Patches = np.exp(-(distance**2) / (2 * sigma**2)).astype(np.float32)
    kernel /= kernel.sum(axis=1, keepdims=True)
    smooth: Patches = kernel @ patches @ kernel.T
    return smooth
