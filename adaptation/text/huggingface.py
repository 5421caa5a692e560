"""Encoders of transformers: loaded from safetensors, run by torch, compiled to a text bundle.

A text's vector is the mean of its tokens' last hidden states, brought to unit length.

Source: Reimers and Gurevych, Sentence-BERT, EMNLP 2019, section 3 (mean pooling).
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from blake3 import blake3
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from adaptation.tuning.text_tower import Texts, encode
from indexer.bundles.bundle import Bundle, TextSettings
from indexer.bundles.checksums import digests
from indexer.bundles.samples import sample_texts
from indexer.compile.onnx_export import export
from indexer.encoder import Embeddings
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import CompileError, ExamplesError, ModelError
from indexer.images.preprocess import Preprocess
from indexer.tokenizers.bpe import TokenIds
from indexer.tokenizers.huggingface import HuggingFaceTokenizer

from .huggingface_files import EncoderFiles
from .tokenizer_check import require_fitting

MIN_COSINE = 0.9999
TOKENIZER = "tokenizer.json"
# A text bundle's image settings mean nothing.
NO_IMAGES = Preprocess(size=(1, 1), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class HuggingFaceText(nn.Module):
    """A model of transformers as a text tower.

    Attributes:
        model: transformers' model; of one with a decoder, its encoder.
        pad: The id of padding.
    """

    def __init__(self, model: nn.Module, pad: int) -> None:
        super().__init__()
        self.model = model
        self.pad = pad
        self.eval()

    @property
    def trained(self) -> nn.Module:
        """The module whose parameters move."""
        return self.model

    @property
    def device(self) -> torch.device:
        """Where the tower is."""
        return next(self.model.parameters()).device

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Encode `(n, length)` as `(n, dim)` of unit norm."""
        mask = (ids != self.pad).to(torch.int64)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        shares = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * shares).sum(dim=1) / shares.sum(dim=1).clamp(min=1)
        return functional.normalize(mean.float(), dim=-1)


class HuggingFaceSource:
    """An encoder of transformers."""

    is_model = False
    cut = True

    def __init__(self, files: EncoderFiles, max_tokens: int, *, check: bool = True) -> None:
        """Load an encoder and its tokenizer.

        Args:
            files: Where they are.
            max_tokens: How many tokens of a text are read, at most.
            check: Whether to compare the tokenizer with the model.

        Raises:
            ExamplesError: transformers cannot load it, or the tokenizer is another model's.
        """
        _be_quiet()
        self.name = files.name
        self._files = files
        self._model = self._loaded()
        tokenizer = _tokenizer(files.tokenizer)
        own = None
        if files.tokenizer != files.folder and (files.folder / TOKENIZER).is_file():
            own = _tokenizer(files.folder)
        rows = self._model.get_input_embeddings().weight.shape[0]
        if check:
            require_fitting(tokenizer, self._config, rows, own=own, files=files.tokenizer)
        if tokenizer.pad_token_id is None:
            raise ExamplesError(
                f"the tokenizer of {files.name} has no padding token, so it is not an encoder's"
            )
        self.pad = int(tokenizer.pad_token_id)
        self.length = min(max_tokens, tokenizer.model_max_length, _positions(self._model))
        self._tokenizer_json = _converted(tokenizer, self.length)
        self._tokenizer = Tokenizer.from_str(self._tokenizer_json)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for the same weights and tokenizer."""
        hasher = blake3(self._tokenizer_json.encode())
        for file in sorted(self._files.folder.glob("*.safetensors")):
            hasher.update_mmap(file)
        return hasher.hexdigest(length=16)

    def ids(self, texts: list[str]) -> TokenIds:
        """Return ids `(n, context_length)`."""
        found = [one.ids for one in self._tokenizer.encode_batch(texts)]
        return np.array(found, np.int64).reshape(len(texts), self.length)

    def vectors(self, texts: list[str]) -> Embeddings:
        """Return the unit vectors `(n, dim)` of texts, by torch."""
        return encode(self._tower, Texts(self.ids(texts), self.pad, self.cut))

    def tower(self, *, random: bool) -> HuggingFaceText:
        """Return the tower in torch; with `random`, untrained."""
        if random:
            automatic: Any = transformers.AutoModel
            return HuggingFaceText(_encoder(automatic.from_config(self._config)), self.pad)
        return HuggingFaceText(_encoder(self._loaded()), self.pad)

    def write(
        self, tower: HuggingFaceText | None, folder: Path, name: str, metadata: dict[str, Any]
    ) -> Bundle:
        """Compile a tower into a bundle of a text tower only; see `Source.write`."""
        tower = self._tower if tower is None else tower.cpu()
        (folder / TOKENIZER).write_text(self._tokenizer_json, encoding="utf-8")
        try:
            return self._written(tower, folder, name, metadata, cut=True)
        except (CompileError, ModelError):
            # Some towers' graphs are of one length.
            return self._written(tower, folder, name, metadata, cut=False)

    def _written(
        self,
        tower: HuggingFaceText,
        folder: Path,
        name: str,
        metadata: dict[str, Any],
        *,
        cut: bool,
    ) -> Bundle:
        ids = torch.from_numpy(self.ids(["a photo of a dog", "a longer photo"]))
        dynamic = {0: torch.export.Dim("batch", min=1)}
        if cut:
            dynamic[1] = torch.export.Dim("length", min=2, max=self.length)
            ids = ids[:, : min(7, self.length - 1)]
        export(tower, ids, dynamic, folder / "text.onnx", name="ids")
        bundle = Bundle(
            folder=folder,
            name=name,
            fingerprint="0" * 32,
            dim=self._dim(tower),
            logit_scale=1.0,
            logit_bias=None,
            image=NO_IMAGES,
            text=TextSettings(self.length, cut, "none", self.pad, "huggingface"),
            source=f"transformers {self.name}",
            licence="unknown",
            tuned=metadata,
            text_only=True,
        )
        sums = digests(bundle)
        mark = blake3(" ".join([repr(bundle.text), *sums.values()]).encode())
        bundle = replace(bundle, checksums=sums, fingerprint=mark.hexdigest(length=16))
        self._compare(tower, bundle)
        bundle.save()
        return bundle

    def _dim(self, tower: HuggingFaceText) -> int:
        return int(encode(tower, Texts(self.ids(["a photo"]), self.pad, self.cut)).shape[1])

    def _compare(self, tower: HuggingFaceText, bundle: Bundle) -> None:
        """Raise ModelError if the bundle's vectors of 64 texts are others than the tower's."""
        texts = sample_texts()
        file = bundle.folder / TOKENIZER
        own = HuggingFaceTokenizer(file, clean="none", context_length=self.length)(texts)
        theirs = encode(tower, Texts(self.ids(texts), self.pad, self.cut))
        ours = OnnxEncoder(bundle, device="cpu", made_here=True).encode_texts(texts)
        cosine = float(np.nan_to_num((ours * theirs).sum(axis=1), nan=-2.0).min())
        if not np.array_equal(own, self.ids(texts)) or not cosine >= MIN_COSINE:
            raise ModelError(
                f"the compiled encoder {self.name} differs from transformers' (cosine "
                f"{cosine:.6f}, minimum {MIN_COSINE})"
            )

    @cached_property
    def _tower(self) -> HuggingFaceText:
        return HuggingFaceText(_encoder(self._model), self.pad)

    def _loaded(self) -> Any:
        """Return transformers' model with its weights, in float32 and evaluation mode."""
        try:
            self._config = transformers.AutoConfig.from_pretrained(
                self._files.folder, trust_remote_code=False, local_files_only=True
            )
            model, info = transformers.AutoModel.from_pretrained(
                self._files.folder,
                config=self._config,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as exc:  # transformers, safetensors and torch raise many kinds
            line = " ".join(str(exc).split())[:200]
            raise ExamplesError(
                f"--encoder {self.name} cannot be loaded by transformers: {line}"
            ) from exc
        # A pooler above the encoder is not used.
        lacking = sorted(one for one in info["missing_keys"] if "pooler" not in one)
        if lacking:
            raise ExamplesError(
                f"--encoder {self.name}: its weights lack {lacking[0]} and {len(lacking) - 1:,} "
                "more, which would be random: they are of another model than its config.json"
            )
        return model.eval()


def _be_quiet() -> None:
    """Keep transformers' bars and warnings off the terminal; its errors are raised."""
    logging: Any = transformers.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _encoder(model: Any) -> nn.Module:
    """Return the part of a model that reads texts."""
    part: nn.Module = model.get_encoder() if model.config.is_encoder_decoder else model
    return part


def _positions(model: nn.Module) -> int:
    """Return how many tokens a model has positions for; many where they are relative."""
    most = 1_000_000
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position" in name.rpartition(".")[2]:
            # Positions of RoBERTa's kind begin behind that of padding.
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            most = min(most, module.num_embeddings - before)
    return most


def _tokenizer(folder: Path) -> Any:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as exc:  # transformers and tokenizers raise many kinds
        line = " ".join(str(exc).split())[:200]
        raise ExamplesError(f"the tokenizer in {folder} cannot be loaded: {line}") from exc
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ExamplesError(
            f"the tokenizer in {folder} runs only in Python: convert it to a {TOKENIZER} first"
        )
    return tokenizer


def _converted(tokenizer: Any, length: int) -> str:
    """Return the file of the `tokenizers` library that gives a tokenizer's ids, of one length."""
    converted = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    converted.enable_truncation(length)
    converted.enable_padding(
        pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token, length=length
    )
    return str(converted.to_str())
