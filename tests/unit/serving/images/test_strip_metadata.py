"""Files without metadata: pixels stay, everything that tells of place and camera goes."""

import io

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from serving.images.strip_metadata import Unstrippable, strip_metadata

SECRET = b"Secret"


def image(mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((64, 48), 60).convert(mode)


def exif(orientation: int | None = None) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = "SecretCamera"
    if orientation is not None:
        made[0x0112] = orientation
    made.get_ifd(0x8825)[1] = "N"
    made.get_ifd(0x8825)[2] = (48.0, 12.0, 30.0)
    return made


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_a_jpeg_keeps_pixels_profile_and_orientation(
    progressive: bool, orientation: int | None
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(
        image(),
        "JPEG",
        exif=exif(orientation),
        comment=b"SecretComment",
        xmp=b"<x>SecretXmp</x>",
        icc_profile=profile,
        progressive=progressive,
        restart_marker_blocks=2,
    )
    assert data.count(SECRET) >= 3
    stripped, media = strip_metadata(data + b"SecretFilm", "JPEG") or (b"", "")
    assert media == "image/jpeg"
    assert SECRET not in stripped
    with Image.open(io.BytesIO(stripped)) as shown, Image.open(io.BytesIO(data)) as original:
        assert shown.tobytes() == original.tobytes()
        assert shown.info["icc_profile"] == profile
        kept = dict(shown.getexif())
    assert kept == ({0x0112: orientation} if orientation in (3, 6, 8) else {})


def test_a_cmyk_jpeg_keeps_adobes_transform() -> None:
    data = saved(image("CMYK"), "JPEG", exif=exif())
    stripped, _ = strip_metadata(data, "JPEG") or (b"", "")
    with Image.open(io.BytesIO(stripped)) as shown, Image.open(io.BytesIO(data)) as original:
        assert shown.tobytes() == original.tobytes()


def test_a_png_loses_texts_and_exif() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "SecretName")
    texts.add_itxt("XML:com.adobe.xmp", "SecretXmp")
    data = saved(image("LA"), "PNG", pnginfo=texts, exif=exif())
    stripped, media = strip_metadata(data + b"SecretTail", "PNG") or (b"", "")
    assert (media, SECRET in stripped) == ("image/png", False)
    with Image.open(io.BytesIO(stripped)) as shown, Image.open(io.BytesIO(data)) as original:
        assert (shown.tobytes(), shown.mode) == (original.tobytes(), original.mode)
        assert not dict(shown.getexif())


@pytest.mark.parametrize("animated", [False, True])
def test_a_webp_loses_exif_and_xmp(animated: bool) -> None:
    more = {"save_all": True, "append_images": [image()]} if animated else {}
    data = saved(image(), "WEBP", exif=exif(), xmp=b"<x>SecretXmp</x>", **more)
    stripped, media = strip_metadata(data, "WEBP") or (b"", "")
    assert (media, SECRET in stripped) == ("image/webp", False)
    with Image.open(io.BytesIO(stripped)) as shown, Image.open(io.BytesIO(data)) as original:
        assert getattr(shown, "n_frames", 1) == getattr(original, "n_frames", 1)
        assert shown.tobytes() == original.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_files_are_refused(kind: str) -> None:
    data = saved(image(), kind)
    for length in range(0, len(data) - 2, 7):
        with pytest.raises(Unstrippable):
            strip_metadata(data[:length], kind)


def test_other_formats_are_left_to_others() -> None:
    assert strip_metadata(saved(image("L"), "TIFF"), "TIFF") is None
