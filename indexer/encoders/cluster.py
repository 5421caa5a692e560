"""Encodes files on the machines of a Ray cluster.

Files are read and decoded by tasks, and encoded by actors, a few on each machine; the vectors come
back in the order of the files. All that is kept is written here, by the one process that has the
collection, so that a content is written once whichever machines have seen it, and a run that was
interrupted goes on as any other. What a machine had when it was lost is done again on another one.

The machines have to find the files at the same paths or URLs, the same clipdex, and the model in
their caches.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from indexer.encoder import Embeddings, Encoder, Pixels
from indexer.errors import ClipdexError, DeviceUnavailable, ModelError, WorkerLost
from indexer.pipeline.read import Read, Reading
from indexer.pipeline.stages import nothing_known
from indexer.store.rows import Task

from .cluster_work import NodeEncoder, decode

# Files a chunk, where the user asked for no batch size: little enough to be done again.
CHUNK = 32
# What decoding a chunk, and an encoder on a CPU, take of Ray's count of cores: half of each machine
# is left to decoders, so that none of its encoders can wait for them in vain.
SHARE = 0.5
# Chunks on their way for each encoder.
AHEAD = 3
# How often a chunk is begun anew because its machine was lost, before the run gives up: each time,
# Ray itself has tried this often to decode it.
TRIES = 5
# Seconds between two looks for machines that have joined, and that one is waited for where none is.
LOOK, WAIT = 5.0, 120.0


@dataclass(eq=False)
class _Node:
    """An encoder on a machine.

    Attributes:
        machine: Ray's id of it.
        actor: Ray's handle.
        waiting: How many chunks it has.
    """

    machine: str
    actor: Any
    waiting: int = 0


@dataclass(eq=False)
class _Chunk:
    """Files on their way; `answer` is Ray's reference of what comes of them."""

    tasks: list[Task]
    node: _Node
    answer: Any
    tries: int = field(default=1)


class ClusterEncoder:
    """An encoder whose files are encoded by a Ray cluster.

    Texts and single images are encoded by the encoder here. Whatever else it knows, such as its
    bundle, it is asked for.

    Args:
        encoder: The encoder of this process.
        make: Makes the same one on another machine; is sent there.
        address: Of the cluster; None for `RAY_ADDRESS`, or for this machine alone.
        gpus: The share of a GPU that each encoder takes; 0 for encoders on CPUs.
        decoders: How many chunks are decoded at once; None for as many as the cluster has room for.
        on_progress: Called with a line of text on what has happened.
    """

    def __init__(
        self,
        encoder: Encoder,
        make: Callable[[], Encoder],
        *,
        address: str | None = None,
        gpus: float = 0.0,
        decoders: int | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._encoder = encoder
        self._make = make
        self._address = address
        self._gpus = gpus
        self._decoders = decoders
        self._on_progress = on_progress
        self._chunk = CHUNK
        self._ray: Any = None
        self._is_own = False
        self._nodes: list[_Node] = []
        self._looked = 0.0

    def __getattr__(self, name: str) -> Any:
        """Return what the encoder here has, such as its bundle or name."""
        return getattr(self.__dict__["_encoder"], name)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._encoder.dim

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self._encoder.fingerprint

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of `Pixels`."""
        return self._encoder.image_size

    @property
    def workers(self) -> int:
        """Threads that may call `encode_images` at once."""
        return 1

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Files a chunk."""
        return (self._chunk,)

    @property
    def reads_files(self) -> bool:
        """Whether a cluster is there to read files."""
        return self._ray is not None

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """Encode `(n, 3, h, w)` uint8 as `(n, dim)` float32 of unit norm, here."""
        return self._encoder.encode_images(pixels)

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """Encode n texts as `(n, dim)` float32 of unit norm, here."""
        return self._encoder.encode_texts(texts)

    def prepare(self, images: int, batch_size: int | None) -> None:
        """Connect to the cluster, and start encoders on its machines.

        Args:
            images: How many the run has.
            batch_size: Files a chunk, where the user asked for a number.

        Raises:
            DeviceUnavailable: There is no Ray, no cluster, or none that can take an encoder.
        """
        self._chunk = batch_size or CHUNK
        if not images or self._ray is not None:
            return
        self._connect()
        self._look()
        if not self._nodes:
            self.close()
            what = f"{self._gpus:g} of a GPU" if self._gpus else "a CPU"
            raise DeviceUnavailable(f"no machine of the cluster has {what} for an encoder")
        machines = len({node.machine for node in self._nodes})
        self._on_progress(
            f"Ray: {len(self._nodes)} encoders on {machines} "
            f"{'machine' if machines == 1 else 'machines'}"
        )

    def encode_files(
        self, tasks: Iterator[Task], reading: Reading, decoders: int
    ) -> Generator[tuple[Sequence[Read], Embeddings], None, None]:
        """Yield files in order, without pixels, and the vectors of those that had some.

        Args:
            tasks: The files.
            reading: What is done to each task; what it knows of the collection stays here.
            decoders: Of this machine; the cluster's own count is used.

        Raises:
            WorkerLost: No machine is left, or one after the other is lost over the same files.
            ModelError: The model failed on a machine.
        """
        reading = replace(reading, known=nothing_known)
        chunks = iter(lambda: list(islice(tasks, self._chunk)), [])
        waiting: deque[_Chunk] = deque()
        finished = False
        try:
            while True:
                if time.monotonic() - self._looked > LOOK:
                    self._look()
                ahead = self._decoders or AHEAD * max(1, len(self._nodes))
                while len(waiting) < ahead and (chunk := next(chunks, None)) is not None:
                    waiting.append(self._begin(chunk, reading))
                if not waiting:
                    break
                yield self._answer(waiting.popleft(), reading)
            finished = True
        finally:
            if not finished:  # an error, or whoever asked has stopped
                self.close()

    def close(self) -> None:
        """End the encoders on the machines; everything is encoded here from then on."""
        ray, self._ray = self._ray, None
        if ray is None:
            return
        for node in self._nodes:
            ray.kill(node.actor)
        self._nodes.clear()
        if self._is_own:
            ray.shutdown()

    def _connect(self) -> None:
        try:
            import ray
        except ImportError as exc:
            raise DeviceUnavailable(
                f"--engine ray needs one more package ({exc.name}): pip install 'clipdex[ray]'"
            ) from exc
        self._is_own = not ray.is_initialized()
        if self._is_own:
            address = self._address or os.environ.get("RAY_ADDRESS")
            options: dict[str, Any] = {} if address else {"include_dashboard": False}
            try:
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **options,
                )
            except Exception as exc:  # Ray has no class of its own for it
                text = str(exc).strip().split("\n")[0]
                raise DeviceUnavailable(f"no Ray cluster at {address or 'all'}: {text}") from exc
        self._ray = ray

    def _look(self) -> None:
        """Start encoders on machines that have room for more."""
        self._looked = time.monotonic()
        remote = self._ray.remote(NodeEncoder)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for machine in self._ray.nodes():
            if not machine["Alive"]:
                continue
            number, resources = machine["NodeID"], machine["Resources"]
            room = resources.get("GPU", 0) / self._gpus if self._gpus else resources.get("CPU", 0)
            there = sum(node.machine == number for node in self._nodes)
            for _ in range(int(room) - there):
                actor = remote.options(
                    num_cpus=0 if self._gpus else SHARE,
                    num_gpus=self._gpus,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(number, soft=False),
                ).remote(self._make, self.fingerprint, self.dim)
                self._nodes.append(_Node(number, actor))

    def _begin(self, tasks: list[Task], reading: Reading) -> _Chunk:
        """Have a chunk decoded, and encoded by the encoder that has least to do."""
        deadline = time.monotonic() + WAIT
        while not self._nodes:
            if time.monotonic() > deadline:
                raise WorkerLost(
                    "no machine of the cluster is left; what was indexed so far is kept: run the "
                    "same command to continue"
                )
            time.sleep(LOOK / 5)
            self._look()
        node = min(self._nodes, key=lambda node: node.waiting)
        node.waiting += 1
        decoded = (
            self._ray.remote(decode)
            .options(num_cpus=SHARE, max_retries=TRIES, scheduling_strategy="SPREAD")
            .remote(reading, tasks)
        )
        return _Chunk(tasks, node, node.actor.encode.remote(decoded))

    def _answer(self, chunk: _Chunk, reading: Reading) -> tuple[list[Read], Embeddings]:
        """Wait for what comes of a chunk, and begin it anew where its machine is lost."""
        errors = self._ray.exceptions
        while True:
            try:
                answer: tuple[list[Read], Embeddings] = self._ray.get(chunk.answer)
                chunk.node.waiting -= 1
                return answer
            except errors.RayTaskError as exc:
                if isinstance(exc.cause, ClipdexError):
                    raise exc.cause from exc
                if not isinstance(exc.cause, errors.RayError):
                    raise ModelError(f"an encoder of the cluster failed: {exc.cause}") from exc
                lost: Exception = exc
            except errors.RayError as exc:
                lost = exc
            if chunk.tries >= TRIES:
                raise WorkerLost(
                    f"{chunk.tries} machines or processes of the cluster were lost over the same "
                    "files; what was indexed so far is kept: run the same command to continue, "
                    f"with a smaller --batch-size if their memory ran out ({type(lost).__name__})"
                ) from lost
            if chunk.node in self._nodes:
                self._nodes.remove(chunk.node)
                self._on_progress(
                    "an encoder of the cluster was lost: its images are read again by another"
                )
            tries = chunk.tries + 1
            chunk = self._begin(chunk.tasks, reading)
            chunk.tries = tries
