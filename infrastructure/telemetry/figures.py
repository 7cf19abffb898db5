"""The figures of the control plane, for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from application.health import Figures


class FiguresCollector(Collector):
    """Asks for the figures whenever Prometheus does."""

    def __init__(self, ask: Callable[[], Figures]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        """One gauge a figure."""
        for name, (meaning, value) in self._ask().items():
            if isinstance(value, dict):
                gauge = GaugeMetricFamily(f"musterroll_{name}", meaning, labels=["of"])
                for label, part in value.items():
                    gauge.add_metric([label], part)
            else:
                gauge = GaugeMetricFamily(f"musterroll_{name}", meaning, value=value)
            yield gauge
