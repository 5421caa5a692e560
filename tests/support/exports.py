"""CLIPs as others export them to ONNX: open_clip's towers in each of their layouts."""

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from indexer.exports.settings import CLIP_MEAN, CLIP_STD
from indexer.model_name import BUILT_IN_FOLDER
from support.checkpoints import VISION, make_checkpoint
from support.local_tokenizers import make_tokenizer

SIGLIP_TEXT = {
    "context_length": 64,
    "vocab_size": 600,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "hf_tokenizer_name": "from this folder",
    "tokenizer_kwargs": {"clean": "canonicalize"},
}
SIGLIP_IMAGE = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}


def make_model(folder: Path, kind: str = "clip", **vision: Any) -> Any:
    """A CLIP or SigLIP with random weights, as `open_clip` itself loads it."""
    pytest.importorskip("onnxscript")
    text = SIGLIP_TEXT if kind == "siglip" else {}
    image = SIGLIP_IMAGE if kind == "siglip" else {"mean": CLIP_MEAN, "std": CLIP_STD}
    name = make_checkpoint(
        folder, dict(text), dict(image), vision={**VISION, **vision}, trained=True
    )
    if kind == "siglip":
        make_tokenizer("siglip", folder)
    from indexer.openclip.loader import load

    return load(name)


def export(
    loaded: Any,
    folder: Path,
    family: str,
    *,
    tokenizer: Path | None = None,
    batch: int | None = None,
    weights: str | None = None,
    name: str = "clip-tiny",
) -> Path:
    """Write a model in the layout of a family: "immich", "immich2", "rclip", "transformers" or
    "pair".

    tokenizer: the folder with a SigLIP's; None for a CLIP.
    batch: fix the batch, as Immich's first exports did.
    weights: the name of a file beside each graph for its weights.
    """
    import torch

    from indexer.compile.onnx_export import CutTextTower, text_part

    kind = "clip" if tokenizer is None else "siglip"
    unit = family.startswith("immich")
    image, text = _Image(loaded.model, unit), _Text(loaded.model, unit)
    height, width = loaded.preprocess.size
    pixels: Any = torch.rand(batch or 2, 3, height, width)
    if family == "immich2":
        image = _Bytes(image, loaded.preprocess)
        pixels = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    whole = torch.int32 if unit else torch.int64
    ids = torch.ones(batch or 2, loaded.context_length, dtype=whole)
    ids[:, 3] = 7 if kind == "siglip" else 49407
    if kind == "clip" and family == "transformers":
        ids = ids[:, :9]
    names: dict[str, tuple[str, str, str, str]] = {
        "immich": ("image", "embedding", "text", "embedding"),
        "immich2": ("image", "image_embedding", "text", "text_embedding"),
        "rclip": ("input", "output", "input", "output"),
        "transformers": ("pixel_values", "image_embeds", "input_ids", "text_embeds"),
        "pair": ("pixel_values", "image_embeds", "input_ids", "text_embeds"),
    }
    of = names[family]
    if kind == "clip" and family == "transformers":
        text = CutTextTower(text_part(loaded.model))
    if kind == "siglip" and family == "transformers":
        of = ("pixel_values", "pooler_output", "input_ids", "pooler_output")
        image, text = _WithStates(image), _WithStates(text)
    places = {
        "immich": ("visual/model.onnx", "textual/model.onnx"),
        "immich2": ("visual/model.onnx", "textual/model.onnx"),
        "rclip": (f"{name}/visual.onnx", f"{name}/textual.onnx"),
        "transformers": ("onnx/vision_model.onnx", "onnx/text_model.onnx"),
        "pair": (f"{name}-vision/model.onnx", f"{name}-text/model.onnx"),
    }[family]
    for tower, example, place, (given, made) in (
        (image, pixels, places[0], of[:2]),
        (text, ids, places[1], of[2:]),
    ):
        _write(tower, example, folder / place, given, made, batch, weights)
    _settings(loaded, folder, family, tokenizer, name)
    return folder


def _settings(loaded: Any, folder: Path, family: str, tokenizer: Path | None, name: str) -> None:
    height, width = loaded.preprocess.size
    settings = loaded.preprocess
    is_siglip = tokenizer is not None
    if family.startswith("immich"):
        _json(folder / "config.json", loaded.config)
        _json(folder / "visual/preprocess_cfg.json", {
            "size": [height, width], "mode": "RGB", "mean": settings.mean, "std": settings.std,
            "interpolation": settings.interpolation, "resize_mode": settings.resize_mode,
            "fill_color": 0,
        })  # fmt: skip
        _tokenizer(folder / "textual", tokenizer)
        return
    if family == "rclip":
        (folder / "tokenizer").mkdir()
        import open_clip

        vocabulary = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
        shutil.copy(vocabulary, folder / "tokenizer")
        return
    image = folder / f"{name}-vision" if family == "pair" else folder
    text = folder / f"{name}-text" if family == "pair" else folder
    size: Any = {"height": height, "width": width} if is_siglip else {"shortest_edge": height}
    fields: dict[str, Any] = {
        "size": size, "image_mean": settings.mean, "image_std": settings.std, "do_normalize": True,
    }  # fmt: skip
    if not is_siglip:
        fields["crop_size"] = height  # the first transformers wrote a number
    _json(image / "preprocessor_config.json", fields)
    _json(text / "config.json", {"model_type": "siglip" if is_siglip else "clip"})
    _tokenizer(text, tokenizer)


def _tokenizer(folder: Path, tokenizer: Path | None) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    if tokenizer is not None:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tokenizer / file, folder)
        return
    _json(folder / "tokenizer.json", clip_tokenizer())
    _json(folder / "tokenizer_config.json", {"pad_token": "<|endoftext|>"})


def clip_tokenizer() -> dict[str, Any]:
    """CLIP's tokenizer.json, as transformers writes it."""
    lines = (BUILT_IN_FOLDER / "tokenizer.txt").read_text(encoding="utf-8").splitlines()
    characters, merges = lines[0].split(), lines[1:]
    words = [*characters, *(f"{one}</w>" for one in characters)]
    words += [merge.replace(" ", "") for merge in merges]
    vocabulary = {word: number for number, word in enumerate(words)}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE", "end_of_word_suffix": "</w>", "unk_token": "<|endoftext|>",
            "vocab": vocabulary, "merges": merges,
        },
    }  # fmt: skip


def _json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


def _module() -> Any:
    from torch import nn

    return nn.Module


def _Image(model: Any, unit: bool) -> Any:  # noqa: N802 - torch may be missing
    class Image(_module()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            return self.model.encode_image(pixels, normalize=unit)

    return Image()


def _Text(model: Any, unit: bool) -> Any:  # noqa: N802
    class Text(_module()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any) -> Any:
            return self.model.encode_text(ids.long(), normalize=unit)

    return Text()


def _Bytes(inner: Any, settings: Any) -> Any:  # noqa: N802
    import torch

    class Bytes(_module()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner
            self.mean, self.std = (torch.tensor(one) for one in (settings.mean, settings.std))

        def forward(self, pixels: Any) -> Any:
            scaled = (pixels.to(torch.float32) / 255.0 - self.mean) / self.std
            return self.inner(scaled.permute(0, 3, 1, 2))

    return Bytes()


def _WithStates(inner: Any) -> Any:  # noqa: N802
    class WithStates(_module()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, values: Any) -> Any:
            vectors = self.inner(values)
            return vectors[:, None, :] * 2, vectors

    return WithStates()


def _write(
    tower: Any, example: Any, file: Path, given: str, made: str, batch: int | None,
    weights: str | None,
) -> None:  # fmt: skip
    import onnx
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # torch calls a weight "embedding", so that name is given afterwards.
    outputs = ["last_hidden_state", "made"] if made == "pooler_output" else ["made"]
    free = {0: torch.export.Dim("batch", min=1)}
    if type(tower).__name__ == "CutTextTower":
        free[1] = torch.export.Dim("length", min=2, max=77)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            tower.eval(), (example,), input_names=[given], output_names=outputs,
            dynamic_shapes=None if batch else (free,),
            opset_version=20, dynamo=True, verbose=False,
        )  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    assert program is not None
    graph = program.model_proto.graph
    for old, new in ((made, f"inner {made}"), ("made", made)):
        for node in graph.node:
            for values in (node.input, node.output):
                values[:] = [new if value == old else value for value in values]
        for one in (*graph.initializer, *graph.output, *graph.value_info):
            one.name = new if one.name == old else one.name
    if weights is None:
        onnx.save_model(program.model_proto, file)
        return
    onnx.save_model(
        program.model_proto, file, save_as_external_data=True, location=weights, size_threshold=1024
    )
