"""Converts any image that Pillow opens to 8-bit sRGB."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")
# Modes that ImageCms reads together with an embedded profile.
PROFILED_MODES = frozenset({"L", "RGB", "CMYK", "LAB"})
# Alpha is composited on white, as in viewers and web pages; dropping it would show hidden colors.
BACKGROUND = (255, 255, 255, 255)


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to sRGB: apply its ICC profile, composite alpha on white.

    16-bit gray keeps its upper 8 bits, so black stays black and white stays white; 32-bit integers
    and floats, which have no fixed white, are stretched between their extremes.

    Returns:
        An image of mode `RGB`.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        wide = np.asarray(image)
        clear = image.info.get("transparency")
        image = Image.fromarray((wide >> 8).astype(np.uint8))
        if isinstance(clear, int):
            image.paste(BACKGROUND[0], mask=Image.fromarray(wide == clear))
    elif image.mode in ("I", "F"):
        image = _stretch(image)
    elif image.has_transparency_data:
        if profile:
            return _flatten_profiled(image, profile)
        image = _flatten(image)
    elif image.mode in ("P", "1"):
        # A palette may hold grays only.
        image = image.convert("RGB" if image.mode == "P" else "L")
    if profile and image.mode in PROFILED_MODES:
        converted = _apply_profile(image, profile)
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretch(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if image.mode == "I" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0  # 16 bits that Pillow widened
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (
        255.0 / max(high - low, 1e-12)
    )
    return Image.fromarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8))


def _flatten(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, BACKGROUND), rgba).convert("RGB")


def _flatten_profiled(image: Image.Image, profile: bytes) -> Image.Image:
    """Apply the profile to the colors alone, and then composite them."""
    gray = image.mode in ("LA", "La", "L", "1")
    rgba = image.convert("RGBA")
    opaque = rgba.convert("L" if gray else "RGB")
    opaque.info = {"icc_profile": profile}
    rgb = to_srgb(opaque)
    return Image.composite(rgb, Image.new("RGB", rgb.size, BACKGROUND[:3]), rgba.getchannel("A"))


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert through the profile; None if that is sRGB, broken or of another mode."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # viewers ignore a broken profile too
