"""Checks that a tokenizer is the one that an encoder was trained with.

A wrong one raises no error: every id has a vector, and it is that of another word. So vocabularies
are compared, not names.
"""

from pathlib import Path
from typing import Any

from indexer.errors import ExamplesError
from indexer.json_files import read_json
from indexer.text_files import read_text

# Embeddings are often a little longer than the vocabulary, rounded up for the hardware.
MAX_SPARE = 256
SPECIALS = ("pad", "bos", "eos", "cls", "sep", "mask", "unk")
Vocabulary = dict[str, int]


def require_fitting(
    tokenizer: Any, config: Any, rows: int, *, own: Any = None, files: Path | None = None
) -> None:
    """Compare a tokenizer with a model's configuration, embedding and own vocabulary.

    Args:
        tokenizer: transformers' tokenizer.
        config: transformers' configuration of the model.
        rows: How many tokens the model has a vector for.
        own: The tokenizer in the model's folder, where `tokenizer` is another one.
        files: The folder that `tokenizer` was read from, whose files must agree.

    Raises:
        ExamplesError: They do not fit; the message says where.
    """
    vocabulary: Vocabulary = tokenizer.get_vocab()
    size = max(vocabulary.values()) + 1 if vocabulary else 0
    if size > rows:
        _refuse(f"it has ids up to {size - 1:,}, and the encoder has vectors for {rows:,} tokens")
    if rows - size > MAX_SPARE:
        _refuse(f"it has {size:,} tokens, and the encoder has vectors for {rows:,}")
    for name in SPECIALS:
        expected = getattr(config, f"{name}_token_id", None)
        found = getattr(tokenizer, f"{name}_token_id", None)
        if isinstance(expected, int) and found is not None and expected != found:
            _refuse(
                f"its {name} token is number {found:,}, and the encoder's is number {expected:,}"
            )
    if own is not None:
        _require_same(vocabulary, own.get_vocab(), "the encoder's own tokenizer")
    if files is not None:
        for file in (files / "vocab.txt", files / "vocab.json"):
            if file.is_file() and (files / "tokenizer.json").is_file():
                _require_same(vocabulary, _read(file), str(file))


def _require_same(vocabulary: Vocabulary, expected: Vocabulary, what: str) -> None:
    for token, number in sorted(expected.items(), key=lambda item: item[1]):
        found = vocabulary.get(token)
        if found != number:
            where = "does not have" if found is None else f"has as number {found:,}"
            _refuse(f"{token[:40]!r} is number {number:,} in {what}, which it {where}")


def _read(file: Path) -> Vocabulary:
    try:
        if file.suffix == ".json":
            value = read_json(file)
            if not isinstance(value, dict):
                raise ValueError("it is not an object")
            return value
        lines = read_text(file).split("\n")
    except (OSError, ValueError) as exc:
        raise ExamplesError(f"{file} cannot be read: {exc}") from exc
    return {token.rstrip("\r"): number for number, token in enumerate(lines) if token.strip()}


def _refuse(reason: str) -> None:
    raise ExamplesError(
        f"the tokenizer is not the one that the encoder was trained with: {reason}. Name the "
        "folder of the right one with --tokenizer"
    )
