"""Converts an open_clip tokenizer to the file and settings of a bundle.

Its kind is `bpe` (CLIP's own, `tokenizer.txt` for `tokenizers.bpe.TextTokenizer`) or `huggingface`
(`tokenizer.json` for `tokenizers.huggingface.HuggingFaceTokenizer`).
"""

import json
from dataclasses import dataclass
from typing import Any

from indexer.bundles.bundle import TOKENIZERS
from indexer.errors import CompileError

# The names of open_clip's cleaning functions in `tokenizers.bpe.CLEANERS`.
CLEANERS = {
    "_clean_lower": "lower",
    "_clean_whitespace": "whitespace",
    "_clean_canonicalize": "canonicalize",
}


@dataclass(frozen=True)
class ConvertedTokenizer:
    """A tokenizer in the form of a bundle.

    Attributes:
        kind: For `bundle.TextSettings`.
        text: The content of the tokenizer's file.
        settings: For `bundle.TextSettings`.
    """

    kind: str
    text: str
    settings: dict[str, Any]

    @property
    def file(self) -> str:
        """The name of its file in a bundle."""
        return TOKENIZERS[self.kind]


def convert_tokenizer(tokenizer: Any, context_length: int) -> ConvertedTokenizer:
    """Convert a tokenizer.

    Args:
        tokenizer: open_clip's.
        context_length: How many ids it gives for a text.

    Raises:
        CompileError: The tokenizer cannot run without transformers.
    """
    kind = type(tokenizer).__name__
    if kind == "SimpleTokenizer":
        return _convert_byte_pairs(tokenizer, context_length)
    if kind in ("HFTokenizer", "SigLipTokenizer"):
        return _convert_huggingface(tokenizer, context_length)
    raise CompileError(
        f"the tokenizer {kind} cannot be compiled, only CLIP's own and those of transformers can"
    )


def _convert_byte_pairs(tokenizer: Any, context_length: int) -> ConvertedTokenizer:
    reduction = getattr(tokenizer.reduction_fn, "__name__", "")
    if reduction == "syntax_mask_tokenize":
        raise CompileError("its tokenizer drops words by their part of speech, which needs nltk")
    # The other reductions drop random tokens of a text that is too long; dropping the last ones is
    # one of their choices.
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
            f"the tokenizer {type(inner).__name__} runs only in Python: convert it to a "
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
    """Return JSON in a form that does not depend on the version that wrote it, for fingerprints."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
