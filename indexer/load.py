"""Model names to encoders."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from indexer.bundles.bundle import Bundle
from indexer.bundles.names import BUILT_IN as BUILT_IN
from indexer.bundles.names import BUILT_IN_FOLDER, ModelName, parse
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.store.records import Model

from .encoder import Encoder, name_of
from .errors import CompileError, DeviceUnavailable, FingerprintMismatch, ModelNotFound

if TYPE_CHECKING:
    from indexer.encoders.gpu.feeding import TensorEncoder

Report = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """A model that can be used without compiling anything."""

    bundle: Bundle
    bytes: int


def find_bundle(name: str, fingerprint: str | None = None) -> Bundle:
    """The bundle of a model's name (see `model_name`), compiled before or built in; never compiles,
    and reads no weights.

    fingerprint: take the bundle of that fingerprint from the cache where the name's own is
    missing or another, such as that of a checkpoint that has changed since.

    Raises ModelNotFound, or BundleError where a bundle's folder is damaged.
    """
    try:
        bundle = _find(name)
    except ModelNotFound:
        bundle = None
        if fingerprint is None:
            raise
    if fingerprint is not None and (bundle is None or bundle.fingerprint != fingerprint):
        from .bundles import cache

        kept = cache.find_fingerprint(fingerprint)
        if kept is not None:
            return replace(kept, name=name)
    if bundle is None:
        return _find(name)  # raises, with the reason
    return bundle


def _find(name: str) -> Bundle:
    if name == BUILT_IN:
        return Bundle.load(BUILT_IN_FOLDER)
    model_name = parse(name)
    if model_name.kind == "bundle" and model_name.path is not None:
        # Its path, whatever name its manifest has: that is what finds it the next time.
        return replace(Bundle.load(model_name.path), name=model_name.name)
    from .bundles import cache

    bundle = cache.find(model_name)
    if bundle is not None:
        return bundle
    if model_name.kind == "added":
        raise ModelNotFound(
            f"no model {name!r} was added here. Write {BUILT_IN}, ARCHITECTURE/TAG as in "
            "ViT-B-32/laion2b_s34b_b79k, hf-hub:org/name, or the path of a bundle or checkpoint; "
            "`clipdex models list` shows what is here"
        )
    raise ModelNotFound(
        f"the model {name} was not compiled here, or its files have changed: "
        f"`clipdex models pull {name}` compiles it"
        if model_name.kind in ("pretrained", "hub")
        else f"the model {name} was not compiled here, or its files have changed: "
        f"`clipdex models add {name}` compiles it"
    )


def load_encoder(
    name: str = BUILT_IN,
    *,
    arch: str | None = None,
    fingerprint: str | None = None,
    device: str = "auto",
    threads: int = 1,
    on_progress: Report = lambda line: None,
) -> Encoder:
    """The encoder of a model's name, ready to run; compiled first, and its weights downloaded,
    where that was not done before.

    arch: of a checkpoint file. fingerprint: take no other model, and compile none. device: "cpu",
    "cuda", "mps", or "auto" for a GPU where there is one and the job is worth it. threads: cores
    to use for images. on_progress: is told in one line what is being done.

    Raises ModelNotFound; CompileError where it cannot be compiled; DeviceUnavailable.
    """
    if fingerprint is not None:
        bundle = find_bundle(name, fingerprint)
    else:
        bundle = obtain(name, arch=arch, on_progress=on_progress)
    return _running(bundle, device, threads, on_progress)


def _running(bundle: Bundle, device: str, threads: int, on_progress: Report) -> Encoder:
    """The encoder of a bundle: by torch on this machine's GPUs, else by ONNX Runtime, whose own
    builds for GPUs serve where torch is not installed.
    """
    from indexer.encoders.onnx_encoder import OnnxEncoder, has_provider

    if device == "cpu" or (bundle.quantized and device == "auto"):
        return OnnxEncoder(bundle, device="cpu", threads=threads)
    if bundle.quantized:
        raise DeviceUnavailable(
            f"{bundle.name} computes in 8-bit integers, which is for the CPU: leave out --device, "
            "or add --precision fp32"
        )
    from .devices import detect

    found = detect.devices(device)
    if found and detect.has_torch():
        from indexer.encoders.gpu.pool import GpuEncoder

        return GpuEncoder(
            bundle,
            found,
            load_torch,
            optional=device == "auto",
            threads=threads,
            on_progress=on_progress,
        )
    if device != "auto" and not has_provider(device):
        raise DeviceUnavailable(
            f"--device {device} needs torch and open_clip: pip install 'clipdex[torch]', or use "
            "--device cpu"
            if found
            else f"--device {device}: no such GPU is here, or its driver does not show it: use "
            "--device cpu"
        )
    return OnnxEncoder(bundle, device=device, threads=threads)


def load_torch(bundle: Bundle, device: str) -> "TensorEncoder":
    """Load a bundle's image tower on a GPU, in the GPU's own process, which imports torch."""
    from indexer.weights.load_tower import load_torch

    return load_torch(bundle, device)


def obtain(
    name: str,
    *,
    arch: str | None = None,
    label: str | None = None,
    sha256: str | None = None,
    on_progress: Report = lambda line: None,
) -> Bundle:
    """The bundle of a model's name, compiled into the cache if it was not before.

    arch: of a checkpoint file. label: a further name to know it by. sha256: what its weights
    must have, where they come from a hub.
    """
    if name == BUILT_IN and arch is None:
        return Bundle.load(BUILT_IN_FOLDER)
    from .bundles import cache

    model_name = parse(name, arch)
    if label is not None and (label == BUILT_IN or parse(label).kind != "added"):
        raise ModelNotFound(
            f"a model cannot be called {label!r}: choose letters, digits, '-', '_' and '.', and "
            f"not {BUILT_IN!r}"
        )
    if model_name.kind in ("bundle", "added"):
        return find_bundle(name)
    with cache.compiling(model_name.name):
        bundle = cache.find(model_name)
        if bundle is None:
            bundle = _compile(model_name, sha256, on_progress)
        if label is not None:
            kept = cache.read_record(model_name.name)
            assert kept is not None
            cache.write_record(replace(kept, name=label))
    return replace(bundle, name=label or model_name.name)


def _compile(model_name: ModelName, sha256: str | None, on_progress: Report) -> Bundle:
    from .bundles import cache

    if model_name.arch is None and model_name.kind == "checkpoint":
        earlier = cache.read_record(model_name.name)
        model_name = replace(model_name, arch=earlier.arch if earlier else None)
    on_progress(f"compiling {model_name.name}, once: this takes a minute or more")
    try:
        from indexer.compile.compiler import compile_into_cache
    except ImportError as exc:
        raise CompileError(
            f"compiling {model_name.name} needs torch and open_clip ({exc.name} is missing): "
            "pip install 'clipdex[torch]'. Running a compiled model does not need them"
        ) from exc
    return compile_into_cache(model_name, sha256=sha256, on_progress=on_progress)


def require_fingerprint(model: Model, offered: Encoder | Bundle) -> None:
    """Raise FingerprintMismatch unless the vectors of a collection's `model` are `offered`'s."""
    if model.fingerprint != offered.fingerprint:
        name = offered.name if isinstance(offered, Bundle) else name_of(offered)
        raise FingerprintMismatch(
            f"this collection holds vectors of the model {model.name} "
            f"({model.fingerprint[:12]}), which do not compare with those of "
            f"{name} ({offered.fingerprint[:12]}). "
            "Use the same model, or index into a new place with --collection"
        )


def active_model(collection: Collection) -> tuple[str, str | None]:
    """(name, fingerprint) of the model that answers a collection's searches; the built-in one,
    without a fingerprint, where there is none.
    """
    active = None
    if collection.exists:
        with closing(Catalog.open(collection)) as catalog:
            active = catalog.active_model()
    return (active.name, active.fingerprint) if active else (BUILT_IN, None)


def known_models() -> list[Known]:
    """The models that can be used at once: the built-in one, then those in the cache by name."""
    from .bundles import cache

    bundles = [Bundle.load(BUILT_IN_FOLDER)]
    for record in cache.records():
        bundle = cache.find_fingerprint(record.fingerprint)
        if bundle is not None:
            bundles.append(replace(bundle, name=record.name))
    return [Known(bundle, bundle.bytes) for bundle in bundles]
