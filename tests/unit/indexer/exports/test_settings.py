"""What exports say of images and texts, and what they leave out."""

import json
from collections import Counter
from dataclasses import replace
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from indexer.bundles.bundle import Bundle
from indexer.bundles.onnx_file import Value
from indexer.encoder import unit
from indexer.errors import BundleError, ModelNotFound
from indexer.exports.checks import activation, right_answers
from indexer.exports.layouts import detect
from indexer.exports.onnx_tower import Tower
from indexer.exports.pull import fitted_logit_scale
from indexer.exports.settings import CLIP_MEAN, Settings, licence_of, tag_activation
from indexer.model_name import BUILT_IN_FOLDER, parse
from support.exports import clip_tokenizer

XENOVA = (
    "onnx/vision_model.onnx", "onnx/text_model.onnx", "config.json", "preprocessor_config.json",
    "tokenizer.json", "tokenizer_config.json",
)  # fmt: skip


def tower(*shape: int | None, operators: dict[str, int] | None = None) -> Tower:
    value = Value("x", "float32" if len(shape) == 4 else "int64", shape)
    return Tower("model.onnx", value, value, None, (), Counter(operators or {}))


def read(
    folder: Path,
    image: dict[str, Any],
    config: dict[str, Any] | None = None,
    tokenizer: dict[str, Any] | None = None,
    words: dict[str, Any] | None = None,
    name: str = "Xenova/some",
) -> Settings:
    """The settings of an export of transformers.js with these files."""
    files = {
        "preprocessor_config.json": image,
        "config.json": config or {},
        "tokenizer.json": tokenizer or clip_tokenizer(),
        "tokenizer_config.json": words or {},
    }
    for file, value in files.items():
        (folder / file).write_text(json.dumps(value), encoding="utf-8")
    layout = detect(XENOVA, "it")
    return Settings.read(folder, layout, tower(None, 3, None, None), tower(None, None), name)


@pytest.mark.parametrize(
    ("given", "size", "mode", "filter"),
    [
        ({"size": 224, "crop_size": 224}, (224, 224), "shortest", "bicubic"),
        ({"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336},
          "resample": 2}, (336, 336), "shortest", "bilinear"),
        ({"size": {"height": 384, "width": 384}}, (384, 384), "squash", "bicubic"),
    ],
)  # fmt: skip
def test_sizes_are_numbers_or_objects_and_the_filter_may_be_missing(
    given: dict[str, Any], size: tuple[int, int], mode: str, filter: str, tmp_path: Path
) -> None:
    image = read(tmp_path, given).image
    assert (image.size, image.resize_mode, image.interpolation) == (size, mode, filter)
    assert image.mean == CLIP_MEAN


def test_siglips_mean_and_size_are_its_own(tmp_path: Path) -> None:
    image = read(tmp_path, {"size": 256}, {"model_type": "siglip"}).image
    assert (image.mean, image.std, image.resize_mode) == ((0.5,) * 3, (0.5,) * 3, "squash")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"size": 248, "crop_size": 224}, "resizes to 248 and crops"),
        ({"size": 224, "resample": 1}, "'resample' is 1"),
        ({"size": 224, "image_std": [0, 1, 1]}, "not above 0"),
        ({"size": 10**9}, "whole number"),
        ({}, "missing"),
    ],
)
def test_what_cannot_be_done_is_refused(given: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=reason):
        read(tmp_path, given)


@pytest.mark.parametrize("pairs", [False, True])
def test_clips_byte_pairs_are_read_by_clipdexs_own_tokenizer(pairs: bool, tmp_path: Path) -> None:
    tokenizer = clip_tokenizer()
    if pairs:  # as newer versions of the library write them
        model = tokenizer["model"]
        tokenizer["model"] = {**model, "merges": [one.split(" ") for one in model["merges"]]}
    text = read(tmp_path, {"size": 224}, tokenizer=tokenizer).text
    assert (text.kind, text.clean, text.pad, text.end) == ("bpe", "lower", 0, 49407)


def _words(*extra: str) -> dict[str, Any]:
    words = {word: number for number, word in enumerate(("<pad>", "a", "dog", *extra))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    value: dict[str, Any] = json.loads(tokenizer.to_str())
    return value


def test_siglips_texts_have_64_ids_whatever_they_are(tmp_path: Path) -> None:
    read_ = read(
        tmp_path, {"size": 224}, {"model_type": "siglip"}, _words(), {"pad_token": "<pad>"}
    )
    assert (read_.text.context_length, read_.text.clean) == (64, "canonicalize")
    assert len(Tokenizer.from_str(read_.tokenizer).encode("a dog").ids) == 64


def test_nllbs_texts_begin_with_their_language(tmp_path: Path) -> None:
    given = _words("eng_Latn"), {"pad_token": "<pad>"}
    text = read(tmp_path, {"size": 224}, None, *given, name="immich-app/nllb-clip").text
    assert text.prefix == "eng_Latn"
    assert read(tmp_path, {"size": 224}, None, *given).text.prefix == ""


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("immich-app/ViT-B-32__openai", "quick_gelu"),
        ("immich-app/ViT-B-32__laion400m_e32", "quick_gelu"),
        ("immich-app/ViT-B-16__laion400m_e32", "gelu"),
        ("immich-app/ViT-H-14-quickgelu__dfn5b", "quick_gelu"),
        ("immich-app/ViT-B-32__laion2b-s34b-b79k", "gelu"),
        ("Xenova/clip-vit-base-patch32", None),
    ],
)
def test_the_activation_that_a_tag_demands(name: str, wanted: str | None) -> None:
    assert tag_activation(name) == wanted


def test_a_quick_gelu_in_the_graph_is_what_openais_weights_need(tmp_path: Path) -> None:
    settings = read(tmp_path, {"size": 224}, {"text_config": {"hidden_act": "quick_gelu"}})
    good = tower(None, 3, None, None, operators={"Sigmoid": 12})
    wrong = tower(None, 3, None, None, operators={"Erf": 12})
    assert activation(settings, (good, good), "x").good
    found = activation(settings, (wrong, wrong), "immich-app/ViT-L-14__openai")
    assert not found.good
    assert "Xenova/clip-vit-large-patch14" in found.text


def test_guessing_finds_few_captions() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(0, 1, (11, 64)).astype(np.float32)
    assert right_answers(vectors, vectors) == 22
    guesses = [
        right_answers(*random.normal(0, 1, (2, 11, 64)).astype(np.float32)) for _ in range(999)
    ]
    assert np.mean(np.array(guesses) >= 9) < 0.005


def test_layouts_say_what_is_missing() -> None:
    with pytest.raises(ModelNotFound, match="lacks preprocessor_config.json"):
        detect([name for name in XENOVA if name != "preprocessor_config.json"], "it")
    with pytest.raises(ModelNotFound, match="holds no exported CLIP"):
        detect(["README.md", "model.onnx"], "it")
    two = [f"{model}/{part}.onnx" for model in ("a", "b") for part in ("visual", "textual")]
    both = [*two, "tokenizer/bpe_simple_vocab_16e6.txt.gz"]
    with pytest.raises(ModelNotFound, match="several models: add one of a, b"):
        detect(both, "it")
    assert detect(both, "it", model="b").image == "b/visual.onnx"


def test_weights_of_any_name_beside_a_graph_belong_to_it_and_those_for_other_runtimes_do_not() -> (
    None
):
    names = [
        "visual/model.onnx", "visual/Constant_1843_attr__value", "visual/model.armnn",
        "visual/preprocess_cfg.json", "visual/fp16/model.armnn", "visual/rknpu/rk3588/model.rknn",
        "textual/model.onnx", "textual/transformer.encoder.layer.12.intermediate.dense.bias",
        "textual/tokenizer.json", "config.json", "README.md",
    ]  # fmt: skip
    files = set(detect(names, "it").files(names))
    assert {names[1], names[7]} <= files
    assert not files & {names[2], names[4], names[5], "README.md"}


def test_names_of_exports() -> None:
    found = parse("https://huggingface.co/immich-app/ViT-B-32__openai/tree/main")
    assert (found.kind, found.name) == ("export", "immich-app/ViT-B-32__openai")
    found = parse("https://huggingface.co/someone/their-clip/tree/v2")
    assert (found.repo, found.revision) == ("someone/their-clip", "v2")
    found = parse("yurijmikhalevich/rclip-models/ViT-B-32-256-datacomp_s34b_b86k")
    assert found.tag == "ViT-B-32-256-datacomp_s34b_b86k"
    found = parse("Xenova/clip-vit-base-patch32:q4")
    assert (found.variant, found.name) == ("q4", "Xenova/clip-vit-base-patch32:q4")
    assert parse("ViT-B-32/laion2b_s34b_b79k").kind == "pretrained"
    for name in ("immich-app/..", "Xenova/a/..", "Xenova/a@../b"):
        with pytest.raises(ModelNotFound):
            parse(name)


def test_licences_are_said_as_far_as_they_are_known() -> None:
    rclip = detect(
        ["a/visual.onnx", "a/textual.onnx", "tokenizer/bpe_simple_vocab_16e6.txt.gz"], "it"
    )
    assert licence_of(rclip, "x").startswith("MIT")
    xenova = detect(XENOVA, "it")
    assert licence_of(xenova, "immich-app/ViT-B-32__laion2b-s34b-b79k") == "MIT"
    assert licence_of(xenova, "Xenova/unheard-of").startswith("unknown")


def test_onnx_runtime_is_new_enough_for_immichs_newer_exports() -> None:
    # Operator set 23 and ir 10, which 1.22 refuses.
    wanted = next(one for one in requires("clipdex") or [] if one.startswith("onnxruntime"))
    assert wanted == "onnxruntime>=1.23"


def test_a_scale_is_fitted_where_none_is_known_to_be_learnt(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    usual = Bundle.load(BUILT_IN_FOLDER)
    assert usual.bank is not None
    # All nearer to one direction, as SigLIP's are: a larger scale tells them apart as well.
    nearer = usual.bank + usual.bank[0]
    np.save(folder / "bank.npy", nearer.astype("<f2"))
    other = replace(usual, folder=folder)
    bank = unit(nearer)[::4]
    ratio = (usual.bank[::4] @ usual.bank[::4].T).std() / (bank @ bank.T).std()
    assert ratio > 1.2
    assert fitted_logit_scale(other) / usual.logit_scale == pytest.approx(ratio, rel=1e-2)
    assert fitted_logit_scale(usual) == pytest.approx(usual.logit_scale)
