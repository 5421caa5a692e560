"""Reads what an export says of images and texts: preprocessing, tokenizer, activation."""

import gzip
import json
import zlib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from indexer.bundles import recommended
from indexer.bundles.bundle import MAX_CONTEXT, MAX_SIDE, Bundle, TextSettings
from indexer.errors import BundleError
from indexer.images.preprocess import RESAMPLING, Preprocess
from indexer.json_files import Fields, read_json
from indexer.model_name import BUILT_IN_FOLDER

from .layouts import Layout
from .onnx_tower import Tower

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
CLIP_LENGTH, SIGLIP_LENGTH = 77, 64
CLIP_START, CLIP_END = 49406, 49407
# Vocabularies of a quarter of a million words take 34 MB as JSON.
TOKENIZER_MEGABYTES = 64
VOCABULARY_BYTES = 8_000_000
# Pillow's numbers of the filters, which transformers uses.
FILTERS = {number: name for name, number in RESAMPLING.items()}
# NLLB's tokenizers take the language of a text from its first token.
NLLB_LANGUAGE = "eng_Latn"
LICENCES = {"pair": "MIT, by the export's page", "rclip": "MIT, by the export's page"}


@dataclass(frozen=True)
class Settings:
    """What an export says of itself.

    Attributes:
        image: How an image becomes pixels.
        text: How a text becomes ids.
        tokenizer: The content of the bundle's tokenizer file.
        activation: What the towers' weights were trained with, "quick_gelu" or "gelu"; None if
            nothing says it.
        pad_is_free: Whether anything may stand behind the end of a text.
        architecture: The export's own configuration, where it is open_clip's.
    """

    image: Preprocess
    text: TextSettings
    tokenizer: str
    activation: str | None = None
    architecture: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, layout: Layout, image: Tower, text: Tower, name: str) -> "Settings":
        """Read the settings of an export.

        Args:
            folder: Where its files are.
            layout: Which files they are.
            image: The image tower, as far as its graph tells.
            text: The text tower.
            name: The model's name, which may hold open_clip's tag.

        Raises:
            BundleError: A file is damaged, or says what clipdex cannot do.
        """
        config = _json(folder, layout, "config")
        family = layout.family
        if family == "rclip":
            height, width = _sides(image)
            return cls(
                Preprocess((height, width), CLIP_MEAN, CLIP_STD),
                _clip_text(text),
                _merges(_vocabulary(folder / layout.settings["vocabulary"])),
            )
        is_siglip = _is_siglip(config, name)
        try:
            if family == "immich":
                pixels = _open_clip_image(_json(folder, layout, "image"))
                options = Fields(Fields(config).object("text_cfg", {}))
                length = options.integer("context_length", 3, MAX_CONTEXT, CLIP_LENGTH)
                kwargs = Fields(options.object("tokenizer_kwargs", {}))
                clean = kwargs.text("clean", "canonicalize" if is_siglip else "whitespace")
                clean = {"canonicalize": "canonicalize", "lower": "lower"}.get(clean, "whitespace")
                activation = tag_activation(name)
            else:
                pixels = _transformers_image(_json(folder, layout, "image"), is_siglip, image)
                length = SIGLIP_LENGTH if is_siglip else CLIP_LENGTH
                clean = "canonicalize" if is_siglip else "whitespace"
                activation = _hidden_act(config)
        except ValueError as exc:
            raise BundleError(f"the configuration of {name} is not usable: {exc}") from exc
        settings, tokenizer = _tokenizer(folder, layout, text, length, clean, name)
        architecture = config if family == "immich" else {}
        return cls(pixels, settings, tokenizer, activation, architecture)


def tag_activation(name: str) -> str | None:
    """Return the activation that open_clip's tag in a name demands; None if it names no tag.

    OpenAI's weights, and some of the first of LAION and of DFN, were trained with QuickGELU.

    Source: open_clip 3.3, pretrained.py (`quick_gelu` of the tags).
    """
    architecture, _, tag = name.rpartition("/")[2].partition("__")
    if not tag:
        return None
    quick = tag == "openai" or tag in ("yfcc15m", "cc12m") or "quickgelu" in architecture
    quick |= architecture == "ViT-B-32" and tag in ("laion400m_e31", "laion400m_e32")
    return "quick_gelu" if quick else "gelu"


def _json(folder: Path, layout: Layout, key: str) -> dict[str, Any]:
    if key not in layout.settings:
        return {}
    file = folder / layout.settings[key]
    try:
        return Fields(read_json(file, megabytes=TOKENIZER_MEGABYTES), file.name).values
    except (OSError, ValueError) as exc:
        raise BundleError(f"{layout.settings[key]} of the export is damaged: {exc}") from exc


def _is_siglip(config: dict[str, Any], name: str) -> bool:
    kinds = [config.get("model_type")]
    kinds += [one.get("model_type") for one in config.values() if isinstance(one, dict)]
    return any("siglip" in str(kind).lower() for kind in kinds) or "siglip" in name.lower()


def _hidden_act(config: dict[str, Any]) -> str | None:
    parts = [config, config.get("vision_config"), config.get("text_config")]
    found = [
        part["hidden_act"] for part in parts if isinstance(part, dict) and "hidden_act" in part
    ]
    return next((one for one in found if one in ("quick_gelu", "gelu")), None)


def _sides(tower: Tower) -> tuple[int, int]:
    """Return (height, width) of the pixels that a graph takes."""
    sides = tower.sides
    if sides is None:
        raise BundleError(f"{tower.file} does not say how large its images are")
    return sides


def _open_clip_image(settings: dict[str, Any]) -> Preprocess:
    """Return open_clip's `preprocess_cfg`, which Immich keeps."""
    fields = Fields(settings, "the image's configuration")
    size = settings.get("size")
    if isinstance(size, int):
        fields.values = {**settings, "size": [size, size]}
    height, width = fields.integers("size", 2, 1, MAX_SIDE)
    return Preprocess(
        (height, width),
        _three(fields, "mean", CLIP_MEAN),
        _three(fields, "std", CLIP_STD, positive=True),
        fields.text("resize_mode", "shortest", among=("shortest", "longest", "squash")),  # type: ignore[arg-type]
        fields.text("interpolation", "bicubic", among=RESAMPLING),
        fields.integer("fill_color", 0, 255, 0),
    )


def _transformers_image(settings: dict[str, Any], is_siglip: bool, tower: Tower) -> Preprocess:
    """Return the image settings of a `preprocessor_config.json`.

    What is missing has the defaults of transformers' own CLIPImageProcessor or
    SiglipImageProcessor.
    """
    fields = Fields(settings, "preprocessor_config.json")
    size, squash = _size(settings.get("size"), "size", is_siglip)
    crop = settings.get("crop_size")
    # SigLIP's have no crop; those of the first transformers did not say that they do.
    if crop is not None and not squash and settings.get("do_center_crop", True):
        cropped, _ = _size(crop, "crop_size", is_siglip)
        if cropped != size and max(cropped) != max(size):
            raise ValueError(f"it resizes to {max(size)} and crops to {cropped}, which differ")
        size = cropped
    known = tower.sides
    if known is not None and known != size:
        raise ValueError(f"its images have {size} pixels, and its graph takes {known}")
    resample = fields.integer("resample", 0, 5, 3)
    if resample not in FILTERS:
        raise ValueError(f"'resample' is {resample}, a filter that no CLIP is known to use")
    normalizes = settings.get("do_normalize", True)
    usual = (HALF, HALF) if is_siglip else (CLIP_MEAN, CLIP_STD)
    mean, std = (
        (
            _three(fields, "image_mean", usual[0]),
            _three(fields, "image_std", usual[1], positive=True),
        )
        if normalizes
        else ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    )
    return Preprocess(size, mean, std, "squash" if squash else "shortest", FILTERS[resample])


def _size(value: Any, key: str, is_siglip: bool) -> tuple[tuple[int, int], bool]:
    """Return (height, width), and whether the aspect ratio is ignored."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"height": value, "width": value} if is_siglip else {"shortest_edge": value}
    fields = Fields(value if value is not None else {}, repr(key))
    if fields.has("shortest_edge"):
        side = fields.integer("shortest_edge", 1, MAX_SIDE)
        return (side, side), False
    sides = fields.integer("height", 1, MAX_SIDE), fields.integer("width", 1, MAX_SIDE)
    return sides, key == "size"


def _three(
    fields: Fields, key: str, usual: tuple[float, float, float], *, positive: bool = False
) -> tuple[float, float, float]:
    if not fields.has(key):
        return usual
    red, green, blue = fields.numbers(key, 3)
    if positive and min(red, green, blue) <= 0:
        raise ValueError(f"{key!r} is not above 0")
    return red, green, blue


def _clip_text(text: Tower) -> TextSettings:
    usual = Bundle.load(BUILT_IN_FOLDER).text
    return replace(usual, context_length=text.length or CLIP_LENGTH, cut=False)


def _tokenizer(
    folder: Path, layout: Layout, text: Tower, length: int, clean: str, name: str
) -> tuple[TextSettings, str]:
    """Return how texts become ids, and the tokenizer's file.

    CLIP's own byte pairs are read by clipdex's tokenizer, since theirs repairs no text. Others are
    made to cut and pad as open_clip does.
    """
    file = layout.settings["tokenizer"]
    try:
        content = Fields(read_json(folder / file, megabytes=TOKENIZER_MEGABYTES))
        tokenizer = Tokenizer.from_str(json.dumps(content.values))
    except Exception as exc:  # the tokenizers library raises plain exceptions
        raise BundleError(f"{file} of the export is not a tokenizer: {exc}") from exc
    model = Fields(content.object("model", {}))
    if model.text("type", "") == "BPE" and model.has("merges"):
        merges = [
            " ".join(one) if isinstance(one, list) else str(one) for one in model.items("merges")
        ]
        if _is_clips(merges):
            return _clip_text(text), _merges(merges)
    length = text.length or length
    config = _json(folder, layout, "tokenizer_config")
    pad = config.get("pad_token") or "<pad>"
    token = str(pad["content"] if isinstance(pad, dict) and "content" in pad else pad)
    number = tokenizer.token_to_id(token)
    if number is None:
        raise BundleError(f"the tokenizer of {name} has no token {token!r} for padding")
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=number, pad_token=token)
    prefix = ""
    if "nllb" in name.lower():
        language = tokenizer.token_to_id(NLLB_LANGUAGE)
        if language is not None and language not in tokenizer.encode("a").ids:
            prefix = NLLB_LANGUAGE
    settings = TextSettings(length, False, clean, number, "huggingface", prefix=prefix)
    return settings, tokenizer.to_str()


def _vocabulary(file: Path) -> list[str]:
    """Return the merges in CLIP's vocabulary file."""
    try:
        unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        data = unpack.decompress(file.read_bytes(), VOCABULARY_BYTES)
        lines = data.decode("utf-8").split("\n")
    except (OSError, ValueError, zlib.error, gzip.BadGzipFile) as exc:
        raise BundleError(f"{file.name} of the export is damaged: {exc}") from exc
    merges = lines[1 : 49152 - 256 - 2 + 1]
    if not _is_clips(merges):
        raise BundleError(f"{file.name} of the export is not CLIP's vocabulary")
    return merges


def _is_clips(merges: list[str]) -> bool:
    return merges == _built_in()[1:]


def _merges(merges: list[str]) -> str:
    return "\n".join([_built_in()[0], *merges]) + "\n"


@cache
def _built_in() -> list[str]:
    """Return the lines of the built-in tokenizer's file: characters, then merges."""
    file = BUILT_IN_FOLDER / "tokenizer.txt"
    return file.read_text(encoding="utf-8").splitlines()


def licence_of(layout: Layout, name: str) -> str:
    """Return what is known of the licence of an export's weights."""
    return LICENCES.get(layout.family) or recommended.licence_of(name)
