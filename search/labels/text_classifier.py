"""Text classifiers: a head on a text encoder's vectors, learnt by `clipdex adapt text`.

`text/NAME/` in a collection is an artifact as a head's folder is (`artifact.py`). Where the encoder
was tuned, or is none of clipdex's models, the folder `encoder/` in it holds that as a bundle, whose
manifest the artifact's digest covers. Using it needs neither torch nor transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from indexer.arguments import several, valid_text
from indexer.bundles.bundle import Bundle
from indexer.encoder import Encoder, name_of, require_unit
from indexer.errors import ArtifactError, QueryError
from indexer.load import BUILT_IN, find_bundle
from indexer.model_name import MANIFEST as BUNDLE_MANIFEST
from indexer.text_files import read_bytes

from .answer import Answer
from .artifact import CHANGED, Artifact, names
from .heads import Head

ENCODER = "encoder"


@dataclass(frozen=True)
class TextClassifier:
    """A classifier of texts.

    Attributes:
        head: Classifies vectors.
        encoder: Makes them of texts.
    """

    head: Head
    encoder: Encoder

    @property
    def name(self) -> str:
        """Its name in the collection."""
        return self.head.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels."""
        return self.head.classes

    def best(self, texts: Sequence[str] | str, top: int = 5) -> list[Answer]:
        """Return the best classes of each text, and the probability that none fits if known.

        Args:
            texts: What to classify; what does not fit into the encoder's length is cut off.
            top: How many classes each text gets.

        Raises:
            QueryError: A text is empty, or a word in it is too long.
            VectorsError: The encoder gives no unit vectors.
        """
        texts = [valid_text(text) for text in several(texts)]
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise QueryError(f"text {number} of {len(texts)} is empty, and has no class")
        if not texts:
            return []
        vectors = self.encoder.encode_texts(texts)
        return self.head.best(
            require_unit(vectors, len(texts), self.encoder.dim, name_of(self.encoder)), top
        )

    @classmethod
    def load(cls, folder: Path, known: Encoder | None = None) -> Self:
        """Read a classifier.

        Args:
            folder: The artifact's.
            known: An encoder that is loaded already, taken where it is the classifier's.

        Raises:
            ArtifactError: It is missing, damaged or changed, or the model that it was learnt with
                is not here.
            BundleError: Its encoder is.
        """
        head = Head.load(folder)
        mark = head.artifact.fingerprint
        if known is not None and known.fingerprint == mark:
            return cls(head, known)
        from indexer.encoders.onnx_encoder import OnnxEncoder

        own = head.artifact.metadata.get("encoder")
        bundle = _elsewhere(head.artifact) if own is None else _own(folder, own)
        if bundle.fingerprint != mark:
            raise ArtifactError(CHANGED.format(folder))
        return cls(head, OnnxEncoder(bundle, device="cpu"))


def _own(folder: Path, wanted: Any) -> Bundle:
    """Return the bundle in an artifact, whose manifest has to have the digest `wanted`."""
    from indexer.store.content_hash import digest

    try:
        found = read_bytes(folder / ENCODER / BUNDLE_MANIFEST, megabytes=16, pipes=False)
    except OSError as exc:
        raise ArtifactError(f"{folder} is damaged: its encoder cannot be read: {exc}") from exc
    if digest(found).hex() != wanted:
        raise ArtifactError(CHANGED.format(folder))
    return Bundle.load(folder / ENCODER)


def _elsewhere(artifact: Artifact) -> Bundle:
    """Return the model that a classifier was learnt with; an artifact names none by a path."""
    bundle = find_bundle(BUILT_IN, artifact.fingerprint)
    if bundle.fingerprint != artifact.fingerprint:
        raise ArtifactError(
            f"{artifact.name} was learnt with the model {artifact.metadata.get('model')} "
            f"({artifact.fingerprint[:12]}), which is not here: `clipdex models pull` or `add` it, "
            "or learn again with `clipdex adapt text`"
        )
    return bundle


def texts_folder(collection: Path) -> Path:
    """Return the folder of a collection's text classifiers, which holds one folder for each."""
    return collection / "text"


def find_text_classifier(
    collection: Path, name: str, known: Encoder | None = None
) -> TextClassifier:
    """Return a text classifier by its name in the collection.

    Args:
        collection: The collection's folder.
        name: The classifier's name.
        known: As for `TextClassifier.load`.

    Raises:
        ArtifactError: There is none, or it is damaged or changed.
    """
    folder = texts_folder(collection)
    there = names(folder)
    if name not in there:
        raise ArtifactError(
            f"no such text classifier: {name}. There are: "
            f"{', '.join(there) or 'none yet, see `clipdex adapt text --help`'}"
        )
    return TextClassifier.load(folder / name, known)
