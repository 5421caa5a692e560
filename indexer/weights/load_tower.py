"""An image tower for torch: kept before, taken from a bundle's graph, or loaded from its source."""

from collections.abc import Callable

import torch
from torch import nn

from indexer.bundles import cache
from indexer.bundles.bundle import Bundle
from indexer.bundles.checksums import require_intact
from indexer.compile.tokenizer_export import convert_tokenizer
from indexer.devices.torch_device import find_device
from indexer.encoders.gpu.torch_encoder import TorchEncoder
from indexer.errors import ClipdexError, ModelError
from indexer.model_name import BUILT_INS, parse
from indexer.openclip.image_tower_cache import FOLDER, read_tower, save_tower
from indexer.openclip.loader import LoadedModel, fingerprint, load

from .image_tower import tower_from_graph

Report = Callable[[str], None]


def obtain_tower(bundle: Bundle, on_progress: Report = lambda line: None) -> nn.Module:
    """Return a model's image tower on the CPU, in float32.

    It is read from the cache, or restored from the bundle's graph or what that was compiled from
    (downloaded again if need be), and then cached.

    Args:
        bundle: The compiled model.
        on_progress: Called with a line of text on what is being done.

    Raises:
        BundleError: The bundle's files are damaged.
        ModelError: The weights cannot be found.
    """
    # The processes of other GPUs wait, and then read the cache.
    with cache.compiling(f"{bundle.fingerprint} {FOLDER}"):
        cached = read_tower(bundle.fingerprint)
        if cached is not None:
            return cached
        bundle.require_compiled("a GPU with torch")
        require_intact(bundle, "image.onnx", "image.onnx.data")
        try:
            visual, config = tower_from_graph(bundle), bundle.architecture
        except ModelError as exc:
            loaded = load_source(bundle, exc, on_progress)
            visual, config = loaded.model.visual, loaded.config
        save_tower(visual, config, bundle.fingerprint)
    return visual


def load_source(
    bundle: Bundle, reason: ModelError, on_progress: Report = lambda line: None
) -> LoadedModel:
    """Load what a bundle was compiled from.

    Args:
        bundle: The compiled model.
        reason: Why the bundle's graphs cannot be used, for the error.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelError: The source is gone, or has become another model.
    """
    record = cache.read_record(bundle.name)
    if record is None or bundle.name in BUILT_INS:
        raise ModelError(
            f"{bundle.name} has no weights for torch here ({reason}): use --device cpu"
        ) from reason
    from indexer.hub import Hub

    on_progress(f"loading the weights of {bundle.name} for torch, once")
    hub = Hub(on_progress=on_progress)
    try:
        loaded = load(parse(record.source, record.arch), hub=hub)
        mark = fingerprint_of(loaded)
    except ClipdexError as exc:
        raise ModelError(f"{bundle.name} cannot be loaded for torch: {exc}") from exc
    if mark != bundle.fingerprint:
        raise ModelError(
            f"{record.source} is not the model that was compiled here as {bundle.name}: "
            "compile it again (`clipdex models pull` or `add`), or use --device cpu"
        )
    hub.clean()
    return loaded


def fingerprint_of(loaded: LoadedModel) -> str:
    """Return the fingerprint of a model's bundle."""
    return fingerprint(loaded, convert_tokenizer(loaded.tokenizer, loaded.context_length).text)


def load_torch(bundle: Bundle, device: str) -> TorchEncoder:
    """Load a bundle's image tower on a device, for a process that does nothing else.

    It computes in the device's own precision if that keeps float32's vectors.

    Raises:
        DeviceUnavailable: There is no such device.
        ModelError: The tower's weights are not to be had.
    """
    # Batches are of one size, so that the fastest convolution is worth looking for.
    torch.backends.cudnn.benchmark = True
    if find_device(device).type == "cpu":  # the others have the other cores
        torch.set_num_threads(1)
    encoder = TorchEncoder(bundle, obtain_tower(bundle), device=device)
    encoder.settle_precision()
    return encoder
