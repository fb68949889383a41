"""What signing in counts, for ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from broker.metrics import counter


class SignIns(Collector):
    """Credentials that were looked at, by MQTT and HTTP; a guest shows none."""

    def __init__(self) -> None:
        self.right = 0
        self.wrong = 0

    def collect(self) -> Iterable[Metric]:
        yield counter(
            "lynrie_sign_ins",
            "Passwords and tokens that were looked at, by whether they were right.",
            ("result",),
            {("right",): self.right, ("wrong",): self.wrong},
        )
