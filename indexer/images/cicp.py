"""Turns what HEIC, AVIF and PNG say of their colors into ICC profiles that Pillow can apply.

Source: ITU-T H.273 (primaries, transfer functions), ICC.1:2010 (profiles), BT.2408 (white of images
without high dynamic range is 203 nits, or 75 % of HLG), PNG (gAMA, cHRM).
"""

import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

D65 = (0.3127, 0.3290)
# x and y of red, green and blue, and of white.
PRIMARIES: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),  # BT.709, sRGB
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), (0.310, 0.316)),  # BT.470 M
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65),  # BT.601, 625 lines
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),  # BT.601, 525 lines
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),  # DCI-P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # Display P3
}
SRGB_PRIMARIES, SRGB_TRANSFER = 1, 13
# What PNGs write for sRGB, and how far off is still meant to be that.
SRGB_EXPONENT = 1 / 2.2
SAME_EXPONENT, SAME_POINT = 0.01, 0.005
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
PQ, HLG = 16, 18
SAMPLES = 4096
# The profile connection space is lit by D50.
D50_XYZ = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@lru_cache(maxsize=16)
def profile_of(primaries: int, transfer: int) -> bytes | None:
    """Return an ICC profile for color code points.

    The transfer functions of television (BT.709 and its relatives) are treated as sRGB's, as
    viewers do. High dynamic range is clipped at reference white.

    Args:
        primaries: The number of the color primaries in H.273.
        transfer: The number of the transfer characteristics in H.273.

    Returns:
        The profile; None where the image is sRGB, or its primaries are unspecified or unknown.
    """
    special = transfer in (PQ, HLG) or transfer in GAMMAS
    chromaticities = PRIMARIES.get(primaries)
    if chromaticities is None or (primaries == SRGB_PRIMARIES and not special):
        return None
    return _profile(_colorants(chromaticities), _curve(transfer))


@lru_cache(maxsize=16)
def profile_of_gamma(
    exponent: float | None, chromaticities: tuple[float, ...] | None, *, gray: bool
) -> bytes | None:
    """Return an ICC profile for what a PNG says of its colors.

    Args:
        exponent: Of the encoding, such as 1/2.2; None for that of sRGB.
        chromaticities: x and y of white, red, green and blue; None for those of sRGB.
        gray: Whether the profile is for an image without colors.

    Returns:
        The profile; None where the image is as good as sRGB, or this is no description of colors.
    """
    plain = exponent is None or abs(exponent - SRGB_EXPONENT) < SAME_EXPONENT
    points = PRIMARIES[SRGB_PRIMARIES]
    if chromaticities is not None and not gray:
        pairs = list(zip(chromaticities[::2], chromaticities[1::2], strict=False))
        points = (*pairs[1:], pairs[0])
    known = np.ravel(PRIMARIES[SRGB_PRIMARIES])
    if plain and np.abs(np.ravel(points) - known).max() < SAME_POINT:
        return None
    if (
        len(points) != 4
        or min(y for _, y in points) <= 0
        or (exponent is not None and not (0.1 < exponent < 10))
    ):
        return None
    curve = _curve(SRGB_TRANSFER)
    if exponent is not None and not plain:
        curve = np.linspace(0.0, 1.0, SAMPLES) ** (1 / exponent)
    try:
        return _profile(None if gray else _colorants(points), curve)
    except (np.linalg.LinAlgError, struct.error):  # primaries on one line, or far from any color
        return None


def _xyz(x: float, y: float) -> Matrix:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _colorants(primaries: tuple[tuple[float, float], ...]) -> Matrix:
    """Return the XYZ values under D50 of red, green and blue, as columns."""
    *colors, white = (_xyz(*point) for point in primaries)
    columns = np.stack(colors, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    adapted = np.diag((BRADFORD @ D50_XYZ) / (BRADFORD @ white))
    matrix: Matrix = np.linalg.inv(BRADFORD) @ adapted @ BRADFORD @ columns
    return matrix


def _curve(transfer: int) -> Matrix:
    """Return the linear light, 0 to 1, of the code values 0 to 1 in even steps."""
    code = np.linspace(0.0, 1.0, SAMPLES)
    if transfer in GAMMAS:
        light = code ** GAMMAS[transfer]
    elif transfer == PQ:
        root = code ** (1 / 78.84375)
        nits = 10_000 * (
            np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        ) ** (1 / 0.1593017578125)  # fmt: skip
        light = nits / 203
    elif transfer == HLG:
        light = _hlg(code) / _hlg(np.array([0.75]))
    else:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return np.clip(light, 0, 1)


def _hlg(code: Matrix) -> Matrix:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def _profile(colorants: Matrix | None, curve: Matrix) -> bytes:
    """Return a version 2 profile: of a matrix, or for gray without one."""
    steps = np.round(curve * 65535).astype(">u2").tobytes()
    trc = b"curv" + struct.pack(">II", 0, len(curve)) + steps
    text = b"from colour code points\0"
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, len(text)) + text + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz_tag(D50_XYZ),
    }
    curves: tuple[bytes, ...] = (b"kTRC",)
    if colorants is not None:
        curves = (b"rTRC", b"gTRC", b"bTRC")
        for number, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ")):
            tags[name] = _xyz_tag(colorants[:, number])
    table, body = b"", b""
    start = 128 + 4 + 12 * (len(tags) + len(curves))
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    for name in curves:
        table += name + struct.pack(">II", start + len(body), len(trc))
    body += trc + b"\0" * (-len(trc) % 4)
    content = struct.pack(">I", len(tags) + len(curves)) + table + body
    header = struct.pack(
        ">I4sI4s4s4s12x4s4sI4s4sQI", 128 + len(content), b"\0" * 4, 0x02400000, b"mntr",
        b"GRAY" if colorants is None else b"RGB ",
        b"XYZ ", b"acsp", b"\0" * 4, 0, b"\0" * 4, b"\0" * 4, 0, 0,
    ) + _s15(D50_XYZ)  # fmt: skip
    return header.ljust(128, b"\0") + content


def _xyz_tag(values: Matrix) -> bytes:
    return b"XYZ \0\0\0\0" + _s15(values)


def _s15(values: Matrix) -> bytes:
    return struct.pack(">3i", *(round(float(value) * 65536) for value in values))
