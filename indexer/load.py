"""From a model name to an encoder."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from indexer.bundles.bundle import Bundle
from indexer.store.catalog import open_reader
from indexer.store.collection import Collection
from indexer.store.records import Model

from .encoder import BundleEncoder, Encoder, name_of
from .errors import CompileError, DeviceUnavailable, FingerprintMismatch, ModelNotFound
from .model_name import BUILT_IN as BUILT_IN
from .model_name import BUILT_INS, ModelName, parse

if TYPE_CHECKING:
    from indexer.encoders.gpu.feeding import TensorEncoder

Report = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """A model that can be used without compiling anything; `bytes` is its size on disk."""

    bundle: Bundle
    bytes: int


def find_bundle(name: str, fingerprint: str | None = None) -> Bundle:
    """Return the bundle of a model name without compiling anything or reading weights.

    Args:
        name: A model name, as `indexer.model_name` parses it.
        fingerprint: Return the cached bundle of this fingerprint if the name leads to none or to
            another one, as for a checkpoint that has changed since.

    Raises:
        ModelNotFound: The model is neither built in nor compiled here.
        BundleError: The bundle's folder is damaged.
    """
    try:
        bundle = _find(name)
    except ModelNotFound:
        bundle = None
        if fingerprint is None:
            raise
    if fingerprint is not None and (bundle is None or bundle.fingerprint != fingerprint):
        from indexer.bundles import cache

        carried = (Bundle.load(folder) for folder in BUILT_INS.values())
        found = next((one for one in carried if one.fingerprint == fingerprint), None)
        found = found or cache.find_fingerprint(fingerprint)
        if found is not None:
            return replace(found, name=name)
    if bundle is None:
        return _find(name)  # raises, with the reason
    return bundle


def _find(name: str) -> Bundle:
    if name in BUILT_INS:
        return Bundle.load(BUILT_INS[name])
    model_name = parse(name)
    if model_name.kind == "bundle" and model_name.path is not None:
        # Named by its path, whatever its manifest says, since the path finds it the next time.
        found = replace(Bundle.load(model_name.path), name=model_name.name)
        if found.text_only:
            raise ModelNotFound(
                f"{name} encodes texts only, for a text classifier: name a model with both towers"
            )
        return found
    from indexer.bundles import cache

    bundle = cache.find(model_name)
    if bundle is not None:
        return bundle
    if model_name.kind == "added":
        raise ModelNotFound(
            f"no such model: {name!r}. Give {BUILT_IN}, ARCHITECTURE/TAG such as "
            "ViT-B-32/laion2b_s34b_b79k, hf-hub:org/name, or the path of a bundle or checkpoint; "
            "`clipdex models list` shows what is here"
        )
    raise ModelNotFound(
        f"the model {name} has not been compiled here, or its files have changed: "
        f"`clipdex models pull {name}` compiles it"
        if model_name.kind in ("pretrained", "hub") or model_name.repo
        else f"the model {name} has not been compiled here, or its files have changed: "
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
    """Return the encoder of a model name, downloading and compiling the model if need be.

    Args:
        name: A model name, as `indexer.model_name` parses it.
        arch: The architecture of a checkpoint file.
        fingerprint: Accept only this model, and compile nothing.
        device: A key of `onnx_encoder.PROVIDERS`, or "auto" for a GPU if there is one and the job
            is worth it.
        threads: Cores to use for images.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelNotFound: The name leads to no model.
        CompileError: The model cannot be compiled.
        DeviceUnavailable: The device is not there, or cannot run this model.
    """
    if fingerprint is not None:
        bundle = find_bundle(name, fingerprint)
    else:
        bundle = obtain(name, arch=arch, on_progress=on_progress)
    return _running(bundle, device, threads, on_progress)


def _running(bundle: Bundle, device: str, threads: int, on_progress: Report) -> Encoder:
    """Return the encoder of a bundle: torch on this machine's GPUs, otherwise ONNX Runtime.

    ONNX Runtime's own builds for GPUs serve where torch is not installed.
    """
    from indexer.devices import detect
    from indexer.encoders.onnx_encoder import OnnxEncoder

    if device == "cpu" or (bundle.quantized and device == "auto"):
        return OnnxEncoder(bundle, device="cpu", threads=threads)
    if bundle.is_export:  # torch cannot run it; ONNX Runtime's builds for GPUs can
        return OnnxEncoder(bundle, device=device, threads=threads)
    if bundle.quantized:
        raise DeviceUnavailable(
            f"{bundle.name} computes in 8-bit integers, which only the CPU does: leave out "
            "--device, or add --precision fp32"
        )
    found = require_device(device)
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
    return OnnxEncoder(bundle, device=device, threads=threads)


def cluster_encoder(
    encoder: Encoder,
    *,
    address: str | None = None,
    gpus: float = 0.0,
    decoders: int | None = None,
    on_progress: Report = lambda line: None,
) -> Encoder:
    """Return an encoder that has a Ray cluster encode files as another one does here.

    Args:
        encoder: That of a bundle, on the CPU; or one that can be sent to other processes.
        address: The cluster's; None for `RAY_ADDRESS`, or for this machine alone.
        gpus: The share of a GPU that each encoder on the cluster takes; 0 for CPUs.
        decoders: How many chunks of files are decoded at once.
        on_progress: Called with a line of text on what has happened.
    """
    from indexer.encoders.cluster import ClusterEncoder

    make: Callable[[], Encoder]
    if isinstance(encoder, BundleEncoder):
        make = partial(_node_encoder, encoder.name, encoder.fingerprint, bool(gpus))
    else:
        make = partial(_itself, encoder)
    return ClusterEncoder(
        encoder, make, address=address, gpus=gpus, decoders=decoders, on_progress=on_progress
    )


def _itself(encoder: Encoder) -> Encoder:
    return encoder


def _node_encoder(name: str, fingerprint: str, on_gpu: bool) -> Encoder:
    """Return the encoder of a model on a machine of a cluster, which has it in its cache."""
    bundle = find_bundle(name, fingerprint)
    if on_gpu:
        from indexer.weights.load_tower import load_torch

        return load_torch(bundle, "cuda:0")  # the one that Ray shows to this process
    from indexer.encoders.onnx_encoder import OnnxEncoder

    return OnnxEncoder(bundle, device="cpu", threads=1)


def require_device(device: str) -> list[str]:
    """Check that a model can run on a device, before one is compiled for it.

    Args:
        device: "auto", or a key of `onnx_encoder.PROVIDERS`.

    Returns:
        torch's names of the GPUs of that kind.

    Raises:
        DeviceUnavailable: There is none, or nothing installed here could use it.
    """
    from indexer.devices import detect
    from indexer.encoders.onnx_encoder import has_provider, require_provider

    if device in ("rocm", "openvino", "directml"):  # torch is not asked
        require_provider(device)
        return []
    found = [] if device == "cpu" else detect.devices(device)
    usable = device in ("auto", "cpu") or (found and detect.has_torch()) or has_provider(device)
    if not usable:
        raise DeviceUnavailable(
            f"--device {device} needs torch and open_clip: pip install 'clipdex[torch]', or use "
            "--device cpu"
            if found
            else f"--device {device}: this machine has no such GPU, or its driver does not report "
            "it: use --device cpu"
        )
    return found


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
    variant: str | None = None,
    force: bool = False,
    on_progress: Report = lambda line: None,
    on_bytes: Callable[[int, int], None] = lambda done, of: None,
) -> Bundle:
    """Return the bundle of a model name, compiled or pulled into the cache if it was not before.

    Args:
        name: A model name, as `indexer.model_name` parses it.
        arch: The architecture of a checkpoint file.
        label: Another name under which the model is to be known.
        sha256: The checksum that weights from a hub must have.
        variant: A quantized variant of an export, such as "q4".
        force: Whether to keep an export that a check objects to.
        on_progress: Called with a line of text on what is being done.
        on_bytes: Called with how many bytes of an export were downloaded, and of how many.

    Raises:
        ModelNotFound: The name leads to no model, or `label` is not allowed.
        CompileError: The model cannot be compiled.
        DownloadError: The weights cannot be fetched, or have another checksum.
    """
    if name in BUILT_INS and arch is None:
        return Bundle.load(BUILT_INS[name])
    from indexer.bundles import cache

    model_name = parse(name if variant is None else f"{name}:{variant}", arch)
    if variant is not None and model_name.variant != variant:
        raise ModelNotFound(
            f"{name} has no variant {variant!r}: exports of transformers.js have fp16, int8, "
            "uint8, quantized, q4, q4f16 and bnb4"
        )
    if label is not None and (label in BUILT_INS or parse(label).kind != "added"):
        raise ModelNotFound(
            f"a model cannot be called {label!r}: use letters, digits, '-', '_' and '.', and "
            f"not {' or '.join(map(repr, BUILT_INS))}"
        )
    if model_name.kind in ("bundle", "added"):
        return find_bundle(name)
    with cache.compiling(model_name.name):
        bundle = cache.find(model_name)
        if bundle is None and model_name.kind == "export":
            from indexer.exports.pull import pull

            bundle = pull(model_name, force=force, on_progress=on_progress, on_bytes=on_bytes)
        elif bundle is None:
            bundle = _compile(model_name, sha256, on_progress)
        if label is not None:
            record = cache.read_record(model_name.name)
            assert record is not None
            cache.write_record(replace(record, name=label))
    return replace(bundle, name=label or model_name.name)


def _compile(model_name: ModelName, sha256: str | None, on_progress: Report) -> Bundle:
    from indexer.bundles import cache

    if model_name.arch is None and model_name.kind == "checkpoint":
        earlier = cache.read_record(model_name.name)
        model_name = replace(model_name, arch=earlier.arch if earlier else None)
    on_progress(f"compiling {model_name.name}, which takes a minute or more, once")
    try:
        from indexer.compile.compiler import compile_into_cache
    except ImportError as exc:
        raise CompileError(
            f"compiling {model_name.name} needs torch and open_clip ({exc.name} is missing): "
            "pip install 'clipdex[torch]'. Running a compiled model does not need them"
        ) from exc
    return compile_into_cache(model_name, sha256=sha256, on_progress=on_progress)


def require_fingerprint(model: Model, offered: Encoder | Bundle) -> None:
    """Check that an encoder or bundle makes vectors that compare with a collection's.

    Args:
        model: The collection's model.
        offered: What is to encode queries.

    Raises:
        FingerprintMismatch: They belong to different models.
    """
    if model.fingerprint != offered.fingerprint:
        name = offered.name if isinstance(offered, Bundle) else name_of(offered)
        raise FingerprintMismatch(
            f"this collection holds vectors of the model {model.name} "
            f"({model.fingerprint[:12]}), which do not compare with those of "
            f"{name} ({offered.fingerprint[:12]}). "
            "Use the same model, or index into a new collection with --collection"
        )


def active_model(collection: Collection) -> tuple[str, str | None]:
    """Return (name, fingerprint) of the model that answers a collection's searches.

    An empty or missing collection has the built-in model, without a fingerprint.
    """
    active = None
    if collection.exists:
        with closing(open_reader(collection)) as catalog:
            active = catalog.active_model()
    return (active.name, active.fingerprint) if active else (BUILT_IN, None)


def known_models() -> list[Known]:
    """Return the models that can be used at once: the built-in ones, then the cached ones."""
    from indexer.bundles import cache

    bundles = [Bundle.load(folder) for folder in BUILT_INS.values()]
    for record in cache.records():
        bundle = cache.find_fingerprint(record.fingerprint)
        if bundle is not None:
            bundles.append(replace(bundle, name=record.name))
    return [Known(bundle, bundle.bytes) for bundle in bundles]
