"""Any image that Pillow opens, brought to 8-bit sRGB."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")
# Modes that ImageCms reads together with an embedded profile.
PROFILED_MODES = frozenset({"L", "RGB", "CMYK", "LAB"})
# Alpha is shown on white, as viewers and web pages do; dropping it would uncover hidden colours.
BACKGROUND = (255, 255, 255, 255)


def to_srgb(image: Image.Image) -> Image.Image:
    """`image` of any mode as `RGB` in sRGB: its ICC profile applied, alpha laid on white.

    16-bit grey keeps its upper 8 bits, so black stays black and white stays white; 32-bit
    integers and floats, which have no fixed white, are stretched between their extremes.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        wide = np.asarray(image)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        image = _stretch(image)
    elif image.has_transparency_data:
        image = _flatten(image)
    elif image.mode in ("P", "1"):
        # A palette may hold greys only; Pillow then converts to L, RGB or CMYK by itself.
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


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image` through its profile to sRGB; None where the profile is sRGB, broken or not its."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # viewers ignore a broken profile too
