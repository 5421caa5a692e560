"""Each check fires on a case made for it, and none on the built-in model and the defaults."""

from dataclasses import replace
from typing import Any

import pytest

from adaptation.tuning.checks import check_model, check_settings
from adaptation.tuning.settings import METHODS, Tuning
from indexer.load import find_bundle


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"method": "lora", "rate": METHODS["lora"].rate}, []),
        ({"rate": 1e-3}, ["tower-rate"]),
        ({"warmup": 0.0}, ["no-warm-up"]),
        ({"rate": 0.0}, ["all-frozen"]),
        ({"epochs": 0}, ["all-frozen"]),
    ],
)
def test_settings(change: dict[str, Any], expected: list[str]) -> None:
    assert [one.check for one in check_settings(replace(Tuning(), **change))] == expected


@pytest.mark.parametrize(
    ("part", "change", "check", "fix"),
    [
        ("image", {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}, "normalisation", "mean 0, 0"),
        ("image", {"mean": (123.7, 116.3, 103.5)}, "normalisation", "preprocess_cfg"),
        ("image", {"size": (224, 224)}, "input-size", "260 x 260 and is given 224 x 224"),
        ("text", {"kind": "huggingface"}, "tokenizer", "no tokenizer of Hugging Face"),
        ("text", {"end": 30521}, "tokenizer", "49,408 words"),
        ("text", {"context_length": 32}, "tokenizer", "reads 77 tokens, not 32"),
    ],
)
def test_models(part: str, change: dict[str, Any], check: str, fix: str) -> None:
    pocket = find_bundle("pocket")
    assert check_model(pocket) == []
    wrong = replace(pocket, **{part: replace(getattr(pocket, part), **change)})
    (found,) = check_model(wrong)
    assert found.check == check
    assert fix in found.message


def test_an_unknown_architecture_is_not_checked() -> None:
    assert check_model(replace(find_bundle("pocket"), architecture={})) == []
