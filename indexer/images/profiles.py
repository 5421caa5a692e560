"""Gives opened images the ICC profiles that their readers do not return."""

from PIL import Image

from .cicp import profile_of, profile_of_gamma

GRAY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B"})
# A PNG's code points come before its pixels, behind nothing but its header and text.
NEAR = 4096


def set_profile(image: Image.Image, profile: bytes | None) -> None:
    """Give an opened image a profile, unless it has one."""
    if profile and not image.info.get("icc_profile"):
        image.info["icc_profile"] = profile


def code_points_profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile for the color code points that pi-heif found."""
    points = image.info.get("nclx_profile")
    if not points:
        return None
    return profile_of(points["color_primaries"], points["transfer_characteristics"])


def set_png_profile(image: Image.Image, data: bytes) -> None:
    """Give an opened PNG the profile for its code points, or for its gamma and chromaticities.

    Code points count before a profile, and that before the rest, as the specification says.
    """
    at = data.find(b"cICP", 8, NEAR)
    if at > 0 and data[at - 4 : at] == b"\0\0\0\4" and image.mode not in GRAY_MODES:
        profile = profile_of(data[at + 4], data[at + 5])
        if profile:
            image.info["icc_profile"] = profile
        return
    gamma, chromaticities = image.info.get("gamma"), image.info.get("chromaticity")
    if "srgb" in image.info or (not gamma and not chromaticities):
        return
    points = tuple(chromaticities) if chromaticities else None
    set_profile(image, profile_of_gamma(gamma or None, points, gray=image.mode in GRAY_MODES))
