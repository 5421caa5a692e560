"""Tokenizers that are not their encoder's: refused by what they hold, whatever they are called."""

import json
import shutil
from pathlib import Path

import pytest

from adaptation.text.huggingface_files import EncoderFiles
from indexer.errors import ExamplesError
from support.text_encoders import make_encoder

pytest.importorskip("transformers", reason="transformers is not installed")

from adaptation.text.huggingface import HuggingFaceSource


def load(folder: Path, tokenizer: Path | None = None) -> HuggingFaceSource:
    return HuggingFaceSource(EncoderFiles("encoder", folder, tokenizer or folder), 32)


def test_its_own_tokenizer_fits_wherever_it_lies(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "one")
    copy = Path(shutil.copytree(folder, tmp_path / "two"))
    assert load(folder).length == 32
    assert load(folder, copy).ids(["a dog"]).tolist() == load(folder).ids(["a dog"]).tolist()
    # An embedding may be rounded up.
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    load(make_encoder(tmp_path / "rounded", vocab_size=size + 64))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"pad_token_id": 3}, "its pad token is number 0, and the encoder's is number 3"),
        ({"eos_token_id": 7}, "its eos token is number 3, and the encoder's is number 7"),
        ({"vocab_size": 5000}, "the encoder has vectors for 5,000"),
        ({"vocab_size": 200}, "the encoder has vectors for 200 tokens"),
    ],
)
def test_another_size_or_special_token_is_refused(
    changes: dict[str, int], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ExamplesError, match=why):
        load(make_encoder(tmp_path / "encoder", **changes))


def test_files_that_disagree_are_refused(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "encoder")
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    rows = sorted(words, key=words.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(rows) + "\n")
    load(folder)
    rows[20], rows[21] = rows[21], rows[20]
    (folder / "vocab.txt").write_text("\n".join(rows) + "\n")
    with pytest.raises(ExamplesError, match=r"is number 20 in .*vocab\.txt"):
        load(folder)
