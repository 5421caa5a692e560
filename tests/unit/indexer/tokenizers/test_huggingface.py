"""Tokenizers of Hugging Face against open_clip's own wrapper, on tokenizers trained here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.bundles.bundle import Bundle, TextSettings
from indexer.bundles.samples import sample_texts
from indexer.errors import CompileError
from indexer.images.preprocess import Preprocess
from indexer.tokenizers.load import Tokenizer, load_tokenizer
from support.local_tokenizers import KINDS, make_tokenizer
from support.texts import CURIOUS, strings

LENGTH = 32


def open_clips(folder: Path, **settings: Any) -> Any:
    pytest.importorskip("transformers")
    tokenizer = pytest.importorskip("open_clip.tokenizer")
    return tokenizer.HFTokenizer(str(folder), context_length=LENGTH, **settings)


def compiled(theirs: Any, folder: Path) -> Tokenizer:
    from indexer.compile.tokenizer_export import convert_tokenizer

    converted = convert_tokenizer(theirs, LENGTH)
    (folder / converted.file).write_text(converted.text, encoding="utf-8")
    settings = TextSettings.from_json({"cut": True, **converted.settings})
    bundle = Bundle(folder, "x", "f", 4, 1.0, None, Preprocess((8, 8)), settings, "here", "none")
    return load_tokenizer(bundle)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("siglip", {"clean": "canonicalize"}),
        ("siglip2", {"clean": "canonicalize"}),
        ("bert", {"strip_sep_token": True}),
        ("bert", {"tokenizer_mode": "clips", "clean": "lower"}),
        ("roberta", {}),
        ("xlm-roberta", {}),
        ("nllb", {}),
        ("nllb", {"language": "jpn_Jpan"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value)) or "plain",
)
def test_ids_are_open_clips_on_five_thousand_strings(
    kind: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    theirs = open_clips(make_tokenizer(kind, tmp_path / "hub"), **settings)
    ours = compiled(theirs, tmp_path)
    texts = [*CURIOUS, *sample_texts(), *strings(5000)]
    assert len({tuple(row) for row in ours(texts).tolist()}) > 3000
    for start in range(0, len(texts), 500):
        part = texts[start : start + 500]
        expected = theirs(part).numpy()
        different = np.flatnonzero((ours(part) != expected).any(axis=1))
        assert not different.size, part[int(different[0])]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "siglip"])
def test_cut_ids_are_the_whole_ones_without_padding(kind: str, tmp_path: Path) -> None:
    theirs = open_clips(make_tokenizer(kind, tmp_path / "hub"))
    ours = compiled(theirs, tmp_path)
    texts = ["a dog", "a very long dog " * 2]
    cut, whole = ours(texts, cut=True), ours(texts)
    assert cut.shape[1] < whole.shape[1] == LENGTH
    assert (whole[:, : cut.shape[1]] == cut).all()
    assert (whole[:, cut.shape[1] :] == theirs.tokenizer.pad_token_id).all()


def test_a_missing_tokenizer_is_named() -> None:
    pytest.importorskip("transformers")
    openclip = pytest.importorskip("indexer.openclip.loader")
    from indexer.openclip.sources import Source

    source = Source(
        "x",
        {"text_cfg": {"hf_tokenizer_name": "nobody/nothing"}},
        Path("x.safetensors"),
        "x",
        tokenizer_folder=Path("/nonexistent"),
    )
    with pytest.raises(CompileError, match=r"nobody/nothing.*tokenizer\.json.*models add"):
        openclip.find_tokenizer(source)
