"""Figures about requests, by route template and status, never by the path itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds; long polls end within 30."""


class RequestMetrics:
    """Counts requests and their durations, beside what the process measures of itself.

    `open` is how many are being answered; it is counted on one event loop.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.open = 0
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "musterroll_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "musterroll_http_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        Gauge(
            "musterroll_http_requests_open",
            "Requests that are being answered, long polls among them.",
            registry=self._registry,
        ).set_function(lambda: self.open)
        # To find the figures of a label costs more than to change them.
        self._figures: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def began(self) -> None:
        """A request came."""
        self.open += 1

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.open -= 1
        figures = self._figures.get((method, route, status))
        if figures is None:
            figures = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(method, route),
            )
            self._figures[method, route, status] = figures
        requests, durations = figures
        requests.inc()
        durations.observe(seconds)

    def text(self, process_registry: CollectorRegistry) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self._registry) + generate_latest(process_registry)
