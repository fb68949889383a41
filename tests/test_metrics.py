"""What the box counts of itself, as Prometheus reads it."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from broker.metrics import OTHER, REASONS, Metrics


def refusals(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        sample.labels["reason"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "lynrie_refusals_total"
    }


def test_every_reason_is_there_from_the_start() -> None:
    assert refusals(Metrics()) == dict.fromkeys((*REASONS, OTHER), 0.0)


@given(st.text())
def test_a_reason_that_nobody_named_makes_no_label(reason: str) -> None:
    metrics = Metrics()
    metrics.refused(cast(Any, reason))
    assert refusals(metrics) == {**dict.fromkeys((*REASONS, OTHER), 0.0), reason if reason in REASONS else OTHER: 1.0}
