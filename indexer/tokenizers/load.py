"""Loads a bundle's tokenizer, of either kind."""

from typing import Protocol

from indexer.bundles.bundle import Bundle
from indexer.errors import BundleError

from .bpe import TokenIds


class Tokenizer(Protocol):
    """A function from texts to the ids that a text tower was trained on."""

    def __call__(self, texts: list[str], *, cut: bool = False) -> TokenIds:
        """Return ids `(n, context_length)`; with `cut`, only as long as the longest text."""


def load_tokenizer(bundle: Bundle) -> Tokenizer:
    """Return the tokenizer of a bundle.

    Raises:
        BundleError: The tokenizer's file is damaged.
    """
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
                prefix=settings.prefix,
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
