"""What signing in counts, for ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from broker.metrics import counter


class SignIns(Collector):
    """Credentials that were looked at, by MQTT and HTTP; a guest shows none. ``waiting`` says how many passwords wait
    for their check."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self.right = 0
        self.wrong = 0

    def collect(self) -> Iterable[Metric]:
        yield counter(
            "lynrie_sign_ins",
            "Passwords and tokens that were looked at, by whether they were right.",
            ("result",),
            {("right",): self.right, ("wrong",): self.wrong},
        )
        yield GaugeMetricFamily("lynrie_passwords_waiting", "Passwords that wait for their check.", self._waiting())
