"""Which files of a repository or folder belong to an exported CLIP, told from their names.

immich         visual/model.onnx, textual/model.onnx, config.json
transformers   onnx/vision_model.onnx, onnx/text_model.onnx, config.json
rclip          MODEL/visual.onnx, MODEL/textual.onnx, tokenizer/bpe_simple_vocab_16e6.txt.gz
pair           *-vision/model.onnx, *-text/model.onnx, each with its configuration
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from indexer.errors import ModelNotFound
from indexer.model_name import VARIANT

Family = Literal["immich", "transformers", "rclip", "pair"]
VOCABULARY = "tokenizer/bpe_simple_vocab_16e6.txt.gz"
# What Immich's repositories hold for other runtimes, and what nothing here reads.
IGNORED = re.compile(r"(^|/)(fp16|rknpu)/|\.(armnn|rknn|md|mlpackage|gitattributes)$|\.mlpackage/")
# Quantized variants of transformers' exports, as their files are called.
VARIANTS = tuple(VARIANT.split("|"))
# Larger ones are no configuration.
SMALL = (".json", ".txt", ".gz")


@dataclass(frozen=True)
class Layout:
    """The files of one exported model, as paths in its repository or folder.

    Attributes:
        family: Whose export it is.
        image: The graph of the image tower.
        text: The graph of the text tower.
        settings: Configurations and the tokenizer's files, by what they are called in `settings`.
        folders: The folders whose other files may hold the graphs' weights.
    """

    family: Family
    image: str
    text: str
    settings: dict[str, str]

    def files(self, names: Collection[str]) -> list[str]:
        """Return all files of a listing that this model reads, or may read.

        Which files hold weights stands in the graphs; those beside a graph are taken for them.
        """
        wanted = {self.image, self.text, *self.settings.values()}
        own = {name.rpartition("/")[0] for name in (self.image, self.text)}
        for name in names:
            folder, _, last = name.rpartition("/")
            beside = self.family != "transformers" and folder in own
            beside |= last.startswith((f"{_last(self.image)}_", f"{_last(self.text)}_"))
            if beside and folder in own and not last.endswith((".onnx", *SMALL)):
                wanted.add(name)
        return sorted(name for name in wanted if not IGNORED.search(name))


def detect(
    names: Collection[str], what: str, *, variant: str | None = None, model: str | None = None
) -> Layout:
    """Return the layout that a list of files has.

    Args:
        names: Paths in the repository or folder, with "/".
        what: What to call it in errors.
        variant: A quantized variant of the graphs.
        model: Which of several models of a repository.

    Raises:
        ModelNotFound: It holds no exported CLIP, several, or not this variant.
    """
    there = set(names)
    if variant is not None and not any(name.startswith("onnx/vision_model") for name in there):
        raise ModelNotFound(f"{what} has no variants: leave out --variant")
    if {"visual/model.onnx", "textual/model.onnx"} <= there:
        return _found("immich", "visual/model.onnx", "textual/model.onnx", there, {
            "config": "config.json",
            "image": "visual/preprocess_cfg.json",
            "tokenizer": "textual/tokenizer.json",
            "tokenizer_config": "textual/tokenizer_config.json",
        }, what)  # fmt: skip
    if any(re.fullmatch(r"onnx/vision_model(_\w+)?\.onnx", name) for name in there):
        ending = f"_{variant}" if variant else ""
        image, text = f"onnx/vision_model{ending}.onnx", f"onnx/text_model{ending}.onnx"
        if not {image, text} <= there:
            has = [one for one in VARIANTS if f"onnx/vision_model_{one}.onnx" in there]
            raise ModelNotFound(
                f"{what} has no {image} and {text}"
                + (f": its variants are {', '.join(has)} (--variant)" if has else "")
            )
        return _found("transformers", image, text, there, {
            "config": "config.json",
            "image": "preprocessor_config.json",
            "tokenizer": "tokenizer.json",
            "tokenizer_config": "tokenizer_config.json",
        }, what)  # fmt: skip
    models = sorted(
        name.removesuffix("/visual.onnx")
        for name in there
        if name.endswith("/visual.onnx") and name.replace("visual.", "textual.") in there
    )
    if model is not None:
        models = [one for one in models if one == model]
    if len(models) > 1:
        raise ModelNotFound(f"{what} holds several models: add one of {', '.join(models)} to it")
    if models:
        return _found("rclip", f"{models[0]}/visual.onnx", f"{models[0]}/textual.onnx", there, {
            "vocabulary": VOCABULARY,
        }, what)  # fmt: skip
    pairs = sorted(
        name.removesuffix("-vision/model.onnx")
        for name in there
        if name.endswith("-vision/model.onnx") and name.replace("-vision/", "-text/") in there
    )
    if len(pairs) == 1:
        image, text = f"{pairs[0]}-vision", f"{pairs[0]}-text"
        return _found("pair", f"{image}/model.onnx", f"{text}/model.onnx", there, {
            "config": f"{text}/config.json",
            "image": f"{image}/preprocessor_config.json",
            "tokenizer": f"{text}/tokenizer.json",
            "tokenizer_config": f"{text}/tokenizer_config.json",
        }, what)  # fmt: skip
    raise ModelNotFound(
        f"{what} holds no exported CLIP that clipdex knows: it needs visual/model.onnx and "
        "textual/model.onnx (Immich), onnx/vision_model.onnx and onnx/text_model.onnx "
        "(transformers.js), MODEL/visual.onnx and MODEL/textual.onnx (rclip), or "
        "NAME-vision/model.onnx and NAME-text/model.onnx (Qdrant)"
    )


def _found(
    family: Family, image: str, text: str, there: set[str], settings: dict[str, str], what: str
) -> Layout:
    # A tokenizer's configuration may be missing; the rest says how images and texts are read.
    lacking = [
        name
        for key, name in settings.items()
        if name not in there and key not in ("tokenizer_config", "config")
    ]
    if lacking:
        raise ModelNotFound(f"{what} lacks {', '.join(lacking)}, which its model needs")
    kept = {key: name for key, name in settings.items() if name in there}
    return Layout(family, image, text, kept)


def _last(name: str) -> str:
    return name.rpartition("/")[2]
