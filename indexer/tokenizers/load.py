"""A bundle's tokenizer, whichever kind it is."""

from typing import Protocol

from indexer.bundles.bundle import Bundle
from indexer.errors import BundleError

from .bpe import TokenIds


class Tokenizer(Protocol):
    """Texts to the ids that a text tower was trained on."""

    def __call__(self, texts: list[str], *, cut: bool = False) -> TokenIds:
        """`(n, context_length)`; with `cut` only as long as the longest of these texts."""


def load_tokenizer(bundle: Bundle) -> Tokenizer:
    """The tokenizer that a bundle carries. Raises BundleError where its file is damaged."""
    settings = bundle.text
    file = bundle.folder / settings.file
    try:
        if settings.kind == "huggingface":
            from .huggingface import HuggingFaceTokenizer

            return HuggingFaceTokenizer(
                file,
                clean=settings.clean,
                context_length=settings.context_length,
                blank=settings.blank,
                clips=settings.clips,
            )
        from .bpe import TextTokenizer

        return TextTokenizer(
            file,
            clean=settings.clean,
            context_length=settings.context_length,
            start=settings.start,
            end=settings.end,
            pad=settings.pad,
            specials=settings.specials,
        )
    except Exception as exc:  # the tokenizers library raises plain exceptions
        raise BundleError(f"cannot load {file}: {exc}") from exc
