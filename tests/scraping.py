"""The metrics as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from broker.metrics import Metrics

Series = tuple[str, frozenset[tuple[str, str]]]
"""A sample's name and labels."""


class Scraped:
    """One answer of ``/metrics``, read by the library's own parser."""

    def __init__(self, text: bytes) -> None:
        self.text = text.decode()
        self.families: list[Metric] = list(text_string_to_metric_families(self.text))
        self.values: dict[Series, float] = {}
        for family in self.families:
            for sample in family.samples:
                series = (sample.name, frozenset(sample.labels.items()))
                assert series not in self.values, f"{series} is there twice"
                self.values[series] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        """A sample's value. Fails where there is none."""
        return self.values[name, frozenset(labels.items())]

    def counted(self, name: str) -> dict[str, float]:
        """Of a metric with one label those that are not 0, by its value."""
        return {
            next(iter(labels))[1]: value
            for (sample, labels), value in self.values.items()
            if sample == name and len(labels) == 1 and value
        }


async def scraped(metrics: Metrics) -> Scraped:
    """All metrics as they are now, not what was collected for somebody a moment ago."""
    metrics._shared_until = 0.0
    return Scraped(await metrics.shared())


def refusals(metrics: Metrics) -> dict[str, float]:
    """What was refused, by reason, at once: to wait for."""
    (family,) = (family for family in metrics.collect() if family.name == "lynrie_refusals")
    return {sample.labels["reason"]: sample.value for sample in family.samples if sample.value}
