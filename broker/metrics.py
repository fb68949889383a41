"""What the box counts and measures of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class Metrics:
    """One box's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._refusals = Counter(
            "lynrie_refusals", "What was refused or closed, by reason.", ["reason"], registry=self.registry
        )

    def refused(self, reason: str) -> None:
        """Count a refusal. ``reason`` is one of few words of ours (``messages_per_second``), never a client's."""
        self._refusals.labels(reason).inc()
