"""Text encoders that a classifier can be learned with: here, the text tower of a clipdex model.

`huggingface.py` has those of transformers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, Encoder, name_of, require_unit
from indexer.tokenizers.bpe import TokenIds


class Source(Protocol):
    """A text encoder, as it is before anything is learned."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def fingerprint(self) -> str:
        """Equal for the same weights and tokenizer."""

    @property
    def is_model(self) -> bool:
        """Whether it is a model that clipdex has, so that no copy of it is needed."""

    @property
    def pad(self) -> int:
        """The id of padding."""

    @property
    def cut(self) -> bool:
        """Whether ids may be shorter than the context length."""

    def ids(self, texts: list[str]) -> TokenIds:
        """Return ids `(n, context_length)`."""

    def vectors(self, texts: list[str]) -> Embeddings:
        """Return the unit vectors `(n, dim)` of texts."""

    def tower(self, *, random: bool) -> Any:
        """Return the tower in torch, as `tuning.inputs.Tower`; with `random`, untrained."""

    def write(self, tower: Any, folder: Path, name: str, metadata: dict[str, Any]) -> Bundle:
        """Compile a tower that `tower` returned into a bundle and compare it with torch.

        Args:
            tower: The tower; None for the encoder as it is.
            folder: An empty folder.
            name: What the encoder is called.
            metadata: How it was made.

        Raises:
            CompileError: It cannot be exported.
            ModelError: The bundle's vectors differ from the tower's.
        """


@dataclass(frozen=True)
class ClipSource:
    """The text tower of a compiled model.

    Attributes:
        bundle: The model.
        encoder: What runs it.
    """

    bundle: Bundle
    encoder: Encoder

    is_model = True

    @property
    def name(self) -> str:
        """The model's name."""
        return self.bundle.name

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint."""
        return self.bundle.fingerprint

    @property
    def pad(self) -> int:
        """The id of padding."""
        return self.bundle.text.pad

    @property
    def cut(self) -> bool:
        """Whether ids may be shorter than the context length."""
        return self.bundle.text.cut

    def ids(self, texts: list[str]) -> TokenIds:
        """Return ids `(n, context_length)`."""
        from indexer.tokenizers.load import load_tokenizer

        return load_tokenizer(self.bundle)(texts)

    def vectors(self, texts: list[str]) -> Embeddings:
        """Return the unit vectors `(n, dim)` of texts, without torch."""
        encoder = self.encoder
        return require_unit(encoder.encode_texts(texts), len(texts), encoder.dim, name_of(encoder))

    def tower(self, *, random: bool) -> Any:
        """Return the tower in torch; with `random`, untrained.

        Raises:
            ModelError: The weights cannot be found.
        """
        from adaptation.tuning.text_tower import ClipText
        from indexer.openclip.loader import build
        from indexer.weights.text_tower import NO_IMAGES, obtain_text

        self.bundle.require_compiled("fine-tuning")
        if random:
            model = build({**self.bundle.architecture, "vision_cfg": NO_IMAGES}, {})
        else:
            model = obtain_text(self.bundle)
        return ClipText(model, cut=self.cut)

    def write(self, tower: Any, folder: Path, name: str, metadata: dict[str, Any]) -> Bundle:
        """Compile a tower into a bundle that has the model's image tower; see `Source.write`."""
        from adaptation.tuning.save_model import export_text_of
        from indexer.compile.derive import complete
        from indexer.weights.text_tower import require_same_texts

        export_text_of(self.bundle, tower.model, folder)
        made = complete(
            self.bundle,
            folder,
            name,
            source=f"{self.bundle.source}, tuned by clipdex",
            tuned={
                "base": self.fingerprint, "base_name": self.name, "towers": "text", **metadata
            },
        )  # fmt: skip
        require_same_texts(tower.model, made)
        made.save()
        return made
