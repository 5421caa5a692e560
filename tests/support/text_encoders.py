"""Labelled texts, and small encoders of transformers with random weights."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from support.local_tokenizers import make_tokenizer

TEXTS = {
    "animal": [
        "a cat sleeps on the sofa", "the horse eats grass", "two birds sit in a tree",
        "a cow gives milk", "the rabbit hides in its burrow", "a fish swims in the bowl",
        "sheep walk over the hill", "a lion roars at night", "the mouse eats cheese",
        "a goat climbs the rocks",
    ],
    "traffic": [
        "the bus stops at the corner", "a car waits at the traffic light", "the train is late",
        "a truck carries sand", "the plane lands at noon", "two ferries cross the bay",
        "a taxi turns into the street", "the tram rings its bell", "a van is parked outside",
        "the motorbike overtakes a lorry",
    ],
    "weather": [
        "it rains all day", "the sun shines and it is hot", "thick fog covers the valley",
        "a storm comes from the west", "the wind blows hard", "clouds gather in the evening",
        "hail fell last night", "it is freezing cold", "a mild and dry spring",
        "thunder and lightning over the sea",
    ],
}  # fmt: skip
FRESH = ["a dog chases a hen", "the lorry blocks the road", "it will snow tomorrow"]


def write_csv(file: Path, rows: Iterable[tuple[str, str]]) -> Path:
    with open(file, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return file


def topics(file: Path, each: int = 10) -> Path:
    """A CSV of texts of three classes."""
    return write_csv(file, [(one, name) for name, own in TEXTS.items() for one in own[:each]])


def make_encoder(folder: Path, kind: str = "bert", **changes: Any) -> Path:
    """An encoder with random weights and the tokenizer that belongs to it, as a hub holds them.

    kind: "bert", "roberta" or "deberta".
    """
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    import torch

    torch.manual_seed(0)
    make_tokenizer("roberta" if kind == "roberta" else "bert", folder)
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    sizes: dict[str, Any] = {
        "vocab_size": tokens, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 66, **changes,
    }  # fmt: skip
    if kind == "roberta":
        config = transformers.RobertaConfig(**{"pad_token_id": 1, **sizes})
    elif kind == "deberta":
        config = transformers.DebertaV2Config(
            **sizes, relative_attention=True, position_buckets=16, norm_rel_ebd="layer_norm",
            share_att_key=True, pos_att_type="p2c|c2p", position_biased_input=False,
            type_vocab_size=0,
        )  # fmt: skip
    else:
        config = transformers.BertConfig(**sizes)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder
