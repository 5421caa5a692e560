"""The encoder that runs a bundle with ONNX Runtime, without torch; sessions start on first use."""

import os
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort

from indexer.arguments import several
from indexer.bundles.bundle import Bundle
from indexer.bundles.checksums import require_intact
from indexer.bundles.graphs import Graph
from indexer.devices.cpu_count import available_cores
from indexer.encoder import Embeddings, Pixels, require_unit, unit
from indexer.errors import BundleError, DeviceUnavailable, ModelError, QueryError
from indexer.images.preprocess import Preprocess
from indexer.tokenizers.bpe import TokenIds
from indexer.tokenizers.load import Tokenizer, load_tokenizer

from .trial import require_runnable

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "mps": "CoreMLExecutionProvider",
    "rocm": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
}
# How near a device's vectors have to be to the CPU's: half precision keeps 0.9999.
MIN_DEVICE_COSINE = 0.999
# Batch sizes that an index run on the CPU tries. Where each thread runs its own batch, larger ones
# cost more memory and save no time.
CPU_BATCHES_TO_TRY = (1, 2, 4, 8)
# The size where none can be tried: a thread with helpers, a quantized model.
CPU_FIXED_BATCH = 4
DEVICE_FIXED_BATCH = 64
# More workers cost memory and save no time: above this, each gets several threads of ONNX Runtime.
MAX_WORKERS = 16
TEXT_BATCH = 64
# After this many runs of the text tower, packing its weights pays: with ViT-B-32 that takes 150 ms
# and 150 MiB, and halves the time of a query (32 to 16 ms).
MAPPED_RUNS = 8


def has_provider(device: str) -> bool:
    """Return whether this build of ONNX Runtime supports a device, a key of `PROVIDERS`."""
    return PROVIDERS[device] in ort.get_available_providers()


def require_provider(device: str) -> None:
    """Raise DeviceUnavailable if this build of ONNX Runtime does not support a device."""
    if not has_provider(device):
        raise DeviceUnavailable(
            f"--device {device} needs ONNX Runtime's {PROVIDERS[device]}, which this "
            "installation lacks: use --device cpu, or install the onnxruntime build for it"
        )


class OnnxEncoder:
    """An encoder that runs a bundle.

    On the CPU each of `workers` threads runs its own batch on its own core, which wastes less than
    many cores on one batch.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        threads: int = 1,
        made_here: bool = False,
    ) -> None:
        """Choose how to run the bundle.

        Args:
            bundle: The compiled model.
            device: "auto" (CUDA if ONNX Runtime has it, otherwise the CPU), or a key of
                `PROVIDERS`.
            threads: Cores to use.
            made_here: Whether this process has just made the bundle, so that its files need no
                check.

        Raises:
            DeviceUnavailable: ONNX Runtime does not support the device.
        """
        if device == "auto":
            device = "cuda" if has_provider("cuda") else "cpu"
        require_provider(device)
        self.bundle = bundle
        self.device = device
        self.workers = min(threads, MAX_WORKERS) if device == "cpu" else 1
        self.batch_size = CPU_FIXED_BATCH if device == "cpu" else DEVICE_FIXED_BATCH
        self._threads = max(1, threads // self.workers)
        self._text_runs = 0
        self._made_here = made_here
        # The processor time of a thread with helpers does not say what a batch costs.
        tunable = device == "cpu" and self._threads == 1 and not bundle.quantized
        self.batch_sizes = CPU_BATCHES_TO_TRY if tunable else (self.batch_size,)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.bundle.name

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.bundle.dim

    @property
    def fingerprint(self) -> str:
        """Hash of weights, architecture, preprocessing and tokenizer."""
        return self.bundle.fingerprint

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes pixels."""
        return self.bundle.image

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the pixels."""
        return self.bundle.image.size

    @property
    def logit_scale(self) -> float:
        """What similarities are multiplied by before a softmax."""
        return self.bundle.logit_scale

    def prepare(self, images: int, batch_size: int | None) -> None:
        """Do nothing, since a session starts on first use."""

    def close(self) -> None:
        """Do nothing, since sessions end with the encoder."""

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """Encode `(n, 3, h, w)` uint8 as `(n, dim)` float32 of unit norm.

        Raises:
            BundleError: The model's files are damaged, or it cannot be loaded.
            VectorsError: What it gives are no unit vectors.
            ModelError: The model failed, perhaps because memory ran out.
        """
        graph = self.bundle.image_graph
        # In 8 bits a batch shares one scale, so a vector would depend on its neighbors.
        step = graph.batch or (1 if self.bundle.quantized else max(1, len(pixels)))
        parts = [
            self._run(self._image_session, graph, pixels[at : at + step])
            for at in range(0, max(1, len(pixels)), step)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """Encode n texts, or one, as `(n, dim)` float32 of unit norm.

        Raises:
            QueryError: There are no texts, or a word is too long.
            BundleError: The model's files are damaged, or it cannot be loaded.
            VectorsError: What it gives are no unit vectors.
        """
        texts = list(several(texts))
        if not texts:
            raise QueryError("no text to encode")
        ids = self.tokenizer(texts, cut=self.bundle.text.cut)
        # Texts are sorted by length, so that each batch is cut as short as possible.
        lengths = np.full(len(ids), ids.shape[1])
        if self.bundle.text.cut:
            lengths -= np.argmax(ids[:, ::-1] != self.bundle.text.pad, axis=1)
        order = np.argsort(lengths, kind="stable")
        vectors = np.empty((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), TEXT_BATCH):
            rows = order[start : start + TEXT_BATCH]
            vectors[rows] = self.encode_ids(ids[rows, : lengths[rows[-1]]])
        return vectors

    def encode_ids(self, ids: TokenIds) -> Embeddings:
        """Encode token ids `(n, length)` as `(n, dim)` float32 of unit norm."""
        self._text_runs += 1
        graph = self.bundle.text_graph
        packed = self._text_runs > MAPPED_RUNS
        session = self._packed_text_session if packed else self._text_session
        if packed:
            self.__dict__.pop("_text_session", None)  # frees its memory
        step = graph.batch or max(1, len(ids))
        parts = [self._run(session, graph, ids[at : at + step]) for at in range(0, len(ids), step)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        if not self._made_here:
            require_intact(self.bundle, self.bundle.text.file)
        return load_tokenizer(self.bundle)

    @cached_property
    def _image_session(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        session = self._session(self.bundle.image_graph.file, options)
        if self.device != "cpu":
            self._require_the_cpus_vectors(session)
        return session

    def _require_the_cpus_vectors(self, session: ort.InferenceSession) -> None:
        """Raise DeviceUnavailable if a device's vectors are others than the CPU's."""
        from indexer.bundles.samples import sample_images

        pixels = np.stack([self.preprocess.pixels(image) for image in sample_images(2)])
        cpu = OnnxEncoder(self.bundle, device="cpu", made_here=True)
        graph = self.bundle.image_graph
        ours = np.concatenate([self._run(session, graph, one[np.newaxis]) for one in pixels])
        nearest = float((ours * cpu.encode_images(pixels)).sum(axis=1).min())
        if not nearest >= MIN_DEVICE_COSINE:
            raise DeviceUnavailable(
                f"--device {self.device}: {self.name} gives other vectors there than on the CPU "
                f"(cosine {nearest:.4f}, at least {MIN_DEVICE_COSINE} is needed): use --device cpu"
            )

    @cached_property
    def _text_session(self) -> ort.InferenceSession:
        """A session for a few queries, with weights mapped from disk, not packed into a copy."""
        options = self._text_options()
        options.add_session_config_entry("session.disable_prepacking", "1")
        return self._session(self.bundle.text_graph.file, options)

    @cached_property
    def _packed_text_session(self) -> ort.InferenceSession:
        """A session for many queries."""
        return self._session(self.bundle.text_graph.file, self._text_options())

    def _text_options(self) -> ort.SessionOptions:
        """Return options for the text tower.

        Optimizing the graph takes longer than running it as it is, and the few rows of a query gain
        nothing by it. A graph that takes texts at their full length has rows for two threads.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = (
            min(2, available_cores()) if self.bundle.text_graph.length else 1
        )
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return options

    def _session(self, file: str, options: ort.SessionOptions) -> ort.InferenceSession:
        if not self._made_here:
            require_runnable(self.bundle, file)
        options.log_severity_level = 3
        # Waiting threads sleep, since the decoders need the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return ort.InferenceSession(
                os.fspath(self.bundle.folder / file), options, providers=[PROVIDERS[self.device]]
            )
        except Exception as exc:  # ONNX Runtime's exceptions have no public base class
            raise BundleError(f"cannot load {self.bundle.folder / file}: {exc}") from exc

    def _run(
        self, session: ort.InferenceSession, graph: Graph, values: np.ndarray[Any, Any]
    ) -> Embeddings:
        count = len(values)
        feeds = {graph.input: values}
        if self.bundle.is_export:
            if graph.batch and count < graph.batch:
                values = np.concatenate([values, np.repeat(values[-1:], graph.batch - count, 0)])
            feeds = as_exported(graph, self.bundle, values)
        try:
            vectors: Embeddings = session.run([graph.output], feeds)[0]
        except Exception as exc:  # as above
            raise ModelError(
                f"the model {self.name} failed on a batch of {count}: {exc}. If memory ran "
                "out, try a smaller --batch-size"
            ) from exc
        if self.bundle.is_export and vectors.ndim == 2:
            vectors = unit(vectors[:count])
        return require_unit(vectors, count, self.dim, self.name)


def as_exported(
    graph: Graph, bundle: Bundle, values: np.ndarray[Any, Any]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return what a graph that others exported takes.

    Args:
        graph: The graph.
        bundle: The bundle that it belongs to.
        values: Pixels `(n, 3, h, w)` uint8, or ids `(n, length)`.
    """
    if graph is not bundle.image_graph:
        feeds = {graph.input: values.astype(graph.dtype)}
        if graph.mask is not None:
            # All but the padding at the end.
            after = np.argmax(values[:, ::-1] != bundle.text.pad, axis=1)[:, np.newaxis]
            places = np.arange(values.shape[1])[np.newaxis]
            feeds[graph.mask] = (places < values.shape[1] - after).astype(graph.dtype)
        return feeds
    if not graph.normalizes:
        settings = bundle.image
        mean, std = (np.array(one, np.float32) for one in (settings.mean, settings.std))
        values = (values / np.float32(255) - mean[:, None, None]) / std[:, None, None]
    if graph.layout == "nhwc":
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    return {graph.input: values.astype(graph.dtype, copy=False)}
