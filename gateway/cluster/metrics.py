"""Merges the metrics of all shards, each by its type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

__all__ = ["merge_metrics"]

_LOWEST = {
    "headgate_destination_up",
    "headgate_config_loaded_timestamp_seconds",
    "headgate_identity_links",
}
_HIGHEST = {
    "headgate_info",
    "headgate_config_info",
    "headgate_config_refused",
    "headgate_queue_failing",
    "headgate_dedup_entries",
}
_APART = {"headgate_queue_first_offset", "headgate_queue_end_offset"}
"""Gauges that are not added up: lowest and highest value of all shards, and one value per shard."""


class _Merged(Collector):
    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.values()


def merge_metrics(found: Mapping[int, str]) -> bytes:
    """Merges metrics in Prometheus' text format.

    Counters, histograms and summaries are added up, bucket by bucket. So are gauges, except those
    named above. Offsets get the label ``shard``.

    Args:
        found: the metrics of each shard, in the same format.
    """
    merged: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for shard, text in sorted(found.items()):
        for family in text_string_to_metric_families(text):
            if family.name not in merged:
                merged[family.name] = Metric(family.name, family.documentation, family.type)
            into = values.setdefault(family.name, {})
            for sample in family.samples:
                _add(into, family.name, sample, shard)
    for name, metric in merged.items():
        for (sample_name, labels), value in values.get(name, {}).items():
            metric.add_sample(sample_name, dict(labels), value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(merged))
    return generate_latest(registry)


def _add(
    into: dict[tuple[str, tuple[tuple[str, str], ...]], float],
    name: str,
    sample: Sample,
    shard: int,
) -> None:
    labels = dict(sample.labels)
    if name in _APART:
        labels["shard"] = str(shard)
    key = (sample.name, tuple(labels.items()))
    known = into.get(key)
    if known is None:
        into[key] = sample.value
    elif name in _LOWEST:
        into[key] = min(known, sample.value)
    elif name in _HIGHEST:
        into[key] = max(known, sample.value)
    else:
        into[key] = known + sample.value
