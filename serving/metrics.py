"""What Prometheus may know of a server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
            "clipdex_queue", "Requests that wait, by what for.", ("stage",), registry=self.registry
        )
        self.images = Gauge(
            "clipdex_index_images", "Images in the collection.", registry=self.registry
        )
        self.model = Gauge(
            "clipdex_model",
            "The model that answers.",
            ("name", "fingerprint"),
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)
