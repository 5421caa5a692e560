"""Finds the files of an encoder of transformers: in a folder, or on a hub that the user named.

Everything that can be refused without loading weights is refused here, before torch is imported.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.errors import ExamplesError
from indexer.json_files import read_json

CONFIG = "config.json"
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
REPOSITORY = re.compile(r"(?:hf-hub:)?(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?")
WAY_OUT = "name their folder with --encoder FOLDER"


@dataclass(frozen=True)
class EncoderFiles:
    """An encoder's files.

    Attributes:
        name: What it is called.
        folder: Holds its configuration, and its weights.
        tokenizer: Holds its tokenizer, which is `folder` unless the user named another.
    """

    name: str
    folder: Path
    tokenizer: Path


def find_files(
    name: str, tokenizer: Path | None, work: Path, on_note: Callable[[str], None]
) -> EncoderFiles:
    """Find an encoder's files, downloading them where the user named a repository of a hub.

    Args:
        name: A folder, or `ORGANIZATION/NAME` of a hub, with `@REVISION` where wanted.
        tokenizer: Another folder with the tokenizer; None for the encoder's own.
        work: An empty folder for downloads.
        on_note: Called with a line of text for each download.

    Raises:
        ExamplesError: There is no such encoder, or a part of it is missing or not safe to read.
        DownloadError: The hub cannot be reached, or does not have it.
    """
    folder = Path(name)
    if not folder.is_dir():
        found = REPOSITORY.fullmatch(name)
        if folder.exists() or found is None:
            raise ExamplesError(
                f"--encoder {name}: there is no such folder, and it is not the name of a model on "
                "a hub, ORGANIZATION/NAME"
            )
        folder = _downloaded(found[1], found[2], work, tokenizer is not None, on_note)
    names = {entry.name for entry in os.scandir(folder)}
    _require_weights(name, names)
    files = EncoderFiles(name, folder, tokenizer or folder)
    if not files.tokenizer.is_dir():
        raise ExamplesError(f"--tokenizer {files.tokenizer} is not a folder")
    if not any((files.tokenizer / one).is_file() for one in TOKENIZERS):
        raise ExamplesError(
            f"{files.tokenizer if tokenizer else name} has no tokenizer ({', '.join(TOKENIZERS)}): "
            "put the one that the model was trained with there, or name its folder with --tokenizer"
        )
    config = _config(name, folder / CONFIG)
    if "auto_map" in config:
        raise ExamplesError(
            f"--encoder {name} needs Python code of its own (auto_map in {CONFIG}), which clipdex "
            "does not run: choose an encoder that transformers knows"
        )
    return files


def _config(name: str, file: Path) -> dict[str, Any]:
    try:
        config = read_json(file)
    except (OSError, ValueError) as exc:
        raise ExamplesError(f"--encoder {name}: {file} cannot be read: {exc}") from exc
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ExamplesError(
            f'--encoder {name}: {file} names no "model_type", so it is not a model of transformers'
        )
    return config


def _require_weights(name: str, names: set[str]) -> None:
    if CONFIG not in names:
        raise ExamplesError(
            f"--encoder {name} has no {CONFIG}, so it is not a model of transformers"
        )
    if WEIGHTS in names or SHARDS in names:
        return
    if pickles := sorted(one for one in names if one.endswith(PICKLES)):
        raise ExamplesError(
            f"--encoder {name} has its weights as {pickles[0]} only, which can run code as it is "
            f"read: convert it to {WEIGHTS} (`save_pretrained` of transformers does), or name a "
            "revision that has that, NAME@REVISION"
        )
    raise ExamplesError(f"--encoder {name} has no weights: {WEIGHTS} is missing")


def _downloaded(
    repo: str,
    revision: str | None,
    work: Path,
    has_tokenizer: bool,
    on_note: Callable[[str], None],
) -> Path:
    """Download what is needed of a repository, and return a folder that holds it."""
    from indexer.hub import Hub

    hub = Hub(on_progress=on_note)
    listed = hub.files(repo, revision, way_out=WAY_OUT)
    _require_weights(repo, set(listed))
    weights = [WEIGHTS] if WEIGHTS in listed else [n for n in listed if _is_shard(n)]
    wanted = [CONFIG, *weights]
    if not has_tokenizer:
        wanted += [one for one in (*TOKENIZERS, *BESIDE) if one in listed]
    fetched = hub.fetch_all({one: listed[one] for one in wanted}, WAY_OUT)
    folder = work / repo.replace("/", "--")
    folder.mkdir()
    for one, file in fetched.items():
        try:
            os.link(file.resolve(), folder / one)
        except OSError:  # another file system
            shutil.copyfile(file, folder / one)
    return folder


def _is_shard(name: str) -> bool:
    return name == SHARDS or bool(re.fullmatch(r"model-\d+-of-\d+\.safetensors", name))
