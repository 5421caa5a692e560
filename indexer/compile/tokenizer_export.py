"""An open_clip tokenizer to the files and settings that a bundle carries.

Kinds: `bpe` (CLIP's own, `tokenizer.txt` for `text.TextTokenizer`) and `huggingface`
(`tokenizer.json` for `hf_text.HuggingFaceTokenizer`).
"""

import json
from dataclasses import dataclass
from typing import Any

from indexer.bundles.bundle import TOKENIZERS
from indexer.errors import CompileError

# open_clip's cleaning functions under the names of `text.CLEANERS`.
CLEANERS = {
    "_clean_lower": "lower",
    "_clean_whitespace": "whitespace",
    "_clean_canonicalize": "canonicalize",
}


@dataclass(frozen=True)
class ConvertedTokenizer:
    """kind, settings: for `bundle.TextSettings`. text: what the tokenizer's file holds."""

    kind: str
    text: str
    settings: dict[str, Any]

    @property
    def file(self) -> str:
        """Its file's name in a bundle."""
        return TOKENIZERS[self.kind]


def convert_tokenizer(tokenizer: Any, context_length: int) -> ConvertedTokenizer:
    """Raises CompileError for a tokenizer that cannot be run without transformers."""
    kind = type(tokenizer).__name__
    if kind == "SimpleTokenizer":
        return _convert_byte_pairs(tokenizer, context_length)
    if kind in ("HFTokenizer", "SigLipTokenizer"):
        return _convert_huggingface(tokenizer, context_length)
    raise CompileError(
        f"the tokenizer {kind} cannot be compiled, only CLIP's own and those of transformers"
    )


def _convert_byte_pairs(tokenizer: Any, context_length: int) -> ConvertedTokenizer:
    reduction = getattr(tokenizer.reduction_fn, "__name__", "")
    if reduction == "syntax_mask_tokenize":
        raise CompileError("its tokenizer drops words by their part of speech, which needs nltk")
    # The other reductions choose at random which tokens of too long a text to drop; dropping the
    # last ones is one of their choices.
    characters = " ".join(tokenizer.byte_encoder.values())
    merges = [" ".join(pair) for pair in tokenizer.bpe_ranks]
    specials = {
        token: tokenizer.encoder[token]
        for token in tokenizer.encoder
        if tokenizer.encoder[token] in tokenizer.all_special_ids
    }
    settings = {
        "context_length": context_length,
        "clean": CLEANERS[tokenizer.clean_fn.__name__],
        "start": tokenizer.sot_token_id,
        "end": tokenizer.eot_token_id,
        "pad": 0,
        "specials": specials,
    }
    return ConvertedTokenizer("bpe", "\n".join([characters, *merges]) + "\n", settings)


def _convert_huggingface(tokenizer: Any, context_length: int) -> ConvertedTokenizer:
    from tokenizers import Tokenizer

    inner = tokenizer.tokenizer
    backend = getattr(inner, "backend_tokenizer", None)
    if backend is None:
        raise CompileError(
            f"the tokenizer {type(inner).__name__} runs in Python only: convert it to a "
            "tokenizer.json first"
        )
    tokenizer(["a photo"])  # some classes (NLLB's) set their special tokens when called
    converted = Tokenizer.from_str(backend.to_str())
    clips = getattr(tokenizer, "tokenizer_mode", "") == "clips"
    if clips:
        converted.no_truncation()
        converted.no_padding()
    else:
        if inner.pad_token_id is None:
            raise CompileError("its tokenizer has no padding token")
        converted.enable_truncation(context_length, direction=inner.truncation_side)
        converted.enable_padding(
            direction=inner.padding_side,
            pad_id=inner.pad_token_id,
            pad_token=inner.pad_token,
            pad_type_id=inner.pad_token_type_id,
            length=context_length,
        )
    clean = getattr(tokenizer, "clean_fn", None)
    settings: dict[str, Any] = {
        "kind": "huggingface",
        "context_length": context_length,
        "clean": CLEANERS[clean.__name__] if clean else "canonicalize",
        "pad": inner.pad_token_id,
    }
    if clips:
        ids = (inner.bos_token_id, inner.eos_token_id, inner.pad_token_id, inner.cls_token_id)
        settings["clips"] = list(ids)
    elif getattr(tokenizer, "strip_sep_token", False):
        settings["blank"] = inner.sep_token_id
    return ConvertedTokenizer("huggingface", _canonical(converted.to_str()), settings)


def _canonical(text: str) -> str:
    """The same JSON whatever version wrote it, so that fingerprints stay."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
