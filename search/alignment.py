"""How alike two pictures are once one is laid over the other.

Two small luminance pictures are registered by an affine transform: a crop of either, a small shift
or turn of the camera and a change of the sides' ratio all are such. What remains is compared by
its correlation, which does not see brightness or contrast. Distinct pictures of one subject, and
of one composition, still differ in detail, so slow shading is taken out before.
Source: Baker & Matthews, Lucas-Kanade 20 Years On: A Unifying Framework, IJCV 2004, section 3.2
(inverse compositional alignment); the gain and offset follow Evangelidis & Psarakis, 2008.
"""

import numpy as np
from numpy.typing import NDArray

Patches = NDArray[np.float32]
"""`(n, side, side)` luminance, the whole picture squeezed into a square."""

# Shading slower than this many sketch pixels is left out of the comparison.
SHADING = 4.0
ITERATIONS = 8
# The parts that are compared must cover at least this share of both pictures.
LEAST_OVERLAP = 0.7
# Grey levels (of 255, standard deviation) under which detail is noise and proves nothing.
LEAST_DETAIL = 1.5
# Pairs aligned at once: 40 kB each while it lasts.
BATCH = 512


def detail(patches: NDArray[np.uint8]) -> Patches:
    """`(n, side, side)` luminance without its slow shading."""
    values = patches.astype(np.float32)
    return values - _blurred(values, SHADING)


def correlations(members: Patches, others: Patches) -> NDArray[np.float32]:
    """`(n,)`: the correlation of each member with its other picture, aligned; -1 to 1.

    Both `(n, side, side)` of `detail`. 0 where the pictures have no detail or cannot be laid over
    each other.
    """
    parts = [
        _correlations(members[start : start + BATCH], others[start : start + BATCH])
        for start in range(0, len(members), BATCH)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _correlations(template: Patches, image: Patches) -> NDArray[np.float32]:
    count, side, _ = template.shape
    grid = np.linspace(-1, 1, side, dtype=np.float32)
    y, x = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
    plane = np.stack([x, y, np.ones_like(x)])  # (3, side * side)
    target = template.reshape(count, -1)
    step = 2 / (side - 1)
    slope_y, slope_x = (part / step for part in np.gradient(template, axis=(1, 2)))
    slopes = np.stack([slope_x.reshape(count, -1), slope_y.reshape(count, -1)], axis=1)
    # (n, 6, side * side): how the template changes with each parameter of the transform.
    descent = (slopes[:, :, np.newaxis] * plane).reshape(count, 6, -1)
    warp = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
    best = np.zeros(count, np.float32)
    for _ in range(ITERATIONS + 1):
        moved, inside = _sampled(image, warp[:, :2] @ plane, side)
        template_part, moved_part = _normalised(target, inside), _normalised(moved, inside)
        score = np.einsum("np,np->n", template_part, moved_part)
        usable = (inside.mean(axis=1) >= LEAST_OVERLAP) & _sane(warp)
        best = np.maximum(best, np.where(usable, score, 0))
        scale = np.sqrt(np.maximum((target**2 * inside).sum(axis=1), 1e-6))
        error = (moved_part - template_part) * scale[:, np.newaxis]
        steps = descent * inside[:, np.newaxis]
        hessian = steps @ descent.transpose(0, 2, 1)
        hessian += np.eye(6, dtype=np.float32) * (1e-3 * np.trace(hessian, axis1=1, axis2=2) + 1e-3)[:, None, None]  # fmt: skip
        delta = np.linalg.solve(hessian, (steps @ error[:, :, np.newaxis]))[:, :, 0]
        change = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
        change[:, :2] += delta.reshape(count, 2, 3).clip(-0.2, 0.2)
        warp = warp @ np.linalg.inv(change)
        warp = np.where(_sane(warp)[:, None, None], warp, np.eye(3, dtype=np.float32))
    textured = (target.std(axis=1) >= LEAST_DETAIL) & (
        image.reshape(count, -1).std(axis=1) >= LEAST_DETAIL
    )
    return np.where(textured, best, 0).astype(np.float32)


def _sane(warp: Patches) -> NDArray[np.bool_]:
    """Whether a transform is one that a crop, a shift or a small turn could make."""
    change = np.abs(warp[:, :2] - np.eye(3, dtype=np.float32)[:2])
    return change[:, :, :2].max(axis=(1, 2)) < 0.3


def _sampled(image: Patches, points: Patches, side: int) -> tuple[Patches, Patches]:
    """The picture at points `(n, 2, p)` of -1 to 1, bilinear; and 1 where they lie inside."""
    count = len(image)
    places = (points + 1) * ((side - 1) / 2)
    inside = ((places > -0.5) & (places < side - 0.5)).all(axis=1).astype(np.float32)
    places = places.clip(0, side - 1)
    low = np.minimum(places.astype(np.int32), side - 2)
    part_x, part_y = (places - low).transpose(1, 0, 2)
    flat = image.reshape(count, -1)
    at = low[:, 1] * side + low[:, 0]
    top = np.take_along_axis(flat, at, 1) * (1 - part_x)
    top += np.take_along_axis(flat, at + 1, 1) * part_x
    low_row = np.take_along_axis(flat, at + side, 1) * (1 - part_x)
    low_row += np.take_along_axis(flat, at + side + 1, 1) * part_x
    return top * (1 - part_y) + low_row * part_y, inside


def _normalised(values: Patches, inside: Patches) -> Patches:
    """`(n, p)` with mean 0 and norm 1 over the part inside, 0 elsewhere."""
    share = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    centred = (values - (values * inside).sum(axis=1, keepdims=True) / share) * inside
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _blurred(patches: Patches, sigma: float) -> Patches:
    """A Gaussian blur, weights renormalised at the border."""
    side = patches.shape[-1]
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    kernel = np.exp(-(distance**2) / (2 * sigma**2)).astype(np.float32)
    kernel /= kernel.sum(axis=1, keepdims=True)
    return kernel @ patches @ kernel.T
