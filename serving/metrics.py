"""What Prometheus may know of a server."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# Where the workers of a server add up their metrics, if there are several: this is read when
# prometheus_client is imported, so that it is set before a worker starts.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one server, apart from those of any other in the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "clipdex_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "clipdex_stage_seconds",
            "Time by stage: a whole request, encoding texts or an image, ranking, thumbnails.",
            ("stage",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.queue = Gauge(
            "clipdex_queue",
            "Requests that wait, by what for.",
            ("stage",),
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.images = Gauge(
            "clipdex_index_images",
            "Images in the collection.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.model = Gauge(
            "clipdex_model",
            "1 for the model that answers, 0 for those that did before.",
            ("name", "fingerprint"),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._model: tuple[str, str] | None = None

    def answers(self, name: str, fingerprint: str) -> None:
        """Note which model answers from now on."""
        if self._model is not None:
            self.model.labels(*self._model).set(0)
        self._model = name, fingerprint
        self.model.labels(name, fingerprint).set(1)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format, those of other workers included."""
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_process(number: int | None) -> None:
    """Take what a worker that has ended says of the present out of the sums."""
    if number is not None:
        mark_process_dead(number)  # type: ignore[no-untyped-call]
