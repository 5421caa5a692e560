"""Model names to encoders."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .bundle import MANIFEST, Bundle
from .catalogue import Catalogue, Model
from .collection import Collection
from .encoder import Encoder
from .errors import FingerprintMismatch, ModelNotFound

BUILT_IN = "pocket"
BUILT_IN_FOLDER = Path(__file__).parent / "pocket"


@dataclass(frozen=True)
class Known:
    """A model that can be used without compiling anything."""

    bundle: Bundle
    bytes: int


def find_bundle(name: str) -> Bundle:
    """The bundle of a model's name: `pocket`, or the path of a bundle's folder.

    Raises ModelNotFound, or BundleError where the folder is damaged.
    """
    if name == BUILT_IN:
        return Bundle.load(BUILT_IN_FOLDER)
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        return Bundle.load(folder.resolve())
    raise ModelNotFound(
        f"no model {name!r}: this version knows {BUILT_IN!r} and the path of a bundle's folder "
        f"(one with a {MANIFEST})"
    )


def load_encoder(name: str = BUILT_IN, *, device: str = "auto", threads: int = 1) -> Encoder:
    """The encoder of a model's name, ready to run. threads: cores to use for pictures."""
    from .onnx_encoder import OnnxEncoder

    return OnnxEncoder(find_bundle(name), device=device, threads=threads)


def require_fingerprint(model: Model, offered: Encoder | Bundle) -> None:
    """Raise FingerprintMismatch unless the vectors of a collection's `model` are `offered`'s."""
    if model.fingerprint != offered.fingerprint:
        raise FingerprintMismatch(
            f"this collection holds vectors of the model {model.name} "
            f"({model.fingerprint[:12]}), which do not compare with those of "
            f"{getattr(offered, 'name', 'the given encoder')} ({offered.fingerprint[:12]}). "
            "Use the same model, or index into a new place with --collection"
        )


def active_name(collection: Collection) -> str:
    """The model that answers a collection's searches; the built-in one where there is none."""
    if not collection.exists:
        return BUILT_IN
    with closing(Catalogue.open(collection)) as catalogue:
        active = catalogue.active_model()
    return active.name if active else BUILT_IN


def known_models() -> list[Known]:
    """The models that this installation carries."""
    bundle = Bundle.load(BUILT_IN_FOLDER)
    size = sum(file.stat().st_size for file in bundle.folder.iterdir())
    return [Known(bundle, size)]
