"""Merged answers of several shards: counts are sums, states are the worst."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.cluster.metrics import merge_metrics
from gateway.delivery.replay_request import Progress, merge_progress
from gateway.runtime.health import merge_health
from gateway.state.ledger.statement import (
    DestinationStatement,
    Finding,
    SourceStatement,
    Statement,
    merge_statements,
)


def health(status: str = "ok", destination: str = "ok", **more: Any) -> dict[str, Any]:
    return {
        "status": status,
        "failing": [] if status == "ok" else ["queue: full"],
        "version": "1",
        "config": {"hash": "a", "loaded_at": "", "waits_for_start": []},
        "queue": {
            "status": "failing" if status == "failing" else "ok",
            "stored_events": 1,
            "stored_bytes": 10,
            "pending_bytes": 0,
        },
        "destinations": {
            "crm": {
                "status": destination,
                "since": destination,
                "pending_events": 2,
                "waiting_events": 1,
                "dead_events": 0,
            }
        },
        **more,
    }


def test_health_names_the_worker_that_fails() -> None:
    """Health is degraded while a worker accepts events, and failing if none does."""
    well = merge_health({0: health(), 1: health()}, 2)
    assert (well["status"], well["failing"]) == ("ok", [])
    assert well["queue"]["stored_events"] == 2
    assert well["destinations"]["crm"]["pending_events"] == 4

    full = merge_health({0: health(), 1: health("failing", "paused")}, 2)
    assert (full["status"], full["failing"]) == ("degraded", ["worker 1: queue: full"])
    assert full["queue"]["status"] == "failing"
    assert full["destinations"]["crm"]["status"] == "paused"

    down = merge_health({0: None, 1: health()}, 2)
    assert down["status"] == "degraded"
    assert down["workers"] == {"0": "down", "1": "ok"}
    assert down["failing"][0].startswith("worker 0 does not answer")

    left = merge_health({0: health("failing"), 1: None, 2: health()}, 2)
    assert left["status"] == "failing", "shard 2 takes nothing in"


def test_books_are_added_up_and_findings_say_where() -> None:
    """A statement over all shards balances if each one does; findings name the worker."""

    def books(shard: int, missing: int) -> Statement:
        finding = Finding("sources", missing, 0, 9, "no")
        return Statement(
            [SourceStatement("web", 10, 8, 1, {"bad": 1})],
            [DestinationStatement("crm", 0, 8, 8, 0, 5, {"f": 1}, {}, 1, 1, 0)],
            0,
            8,
            8,
            [finding] if missing else [],
        )

    found = merge_statements({0: books(0, 0), 1: books(1, 3), 5: books(5, 0)}, 2)
    assert found.sources == [SourceStatement("web", 30, 24, 3, {"bad": 3})]
    [crm] = found.destinations
    assert (crm.accepted, crm.delivered, crm.filtered, crm.pending) == (24, 15, {"f": 3}, 6)
    assert [finding.where for finding in found.findings] == ["worker 1: sources"]
    assert not found.balanced


def test_the_parts_of_a_replay_are_one() -> None:
    """A replay has the id of its first part and runs until all parts have ended."""

    def part(id_: int, state: str, group: str) -> Progress:
        return Progress(id_, "crm", state, "", 10, 5, 3, "2026-01-01", group)

    one, *rest = merge_progress(
        [part(10**12 + 1, "running", "g"), part(2, "done", "g"), part(1, "done", "")]
    )
    assert (one.id, one.state, one.offsets, one.replayed) == (2, "running", 20, 6)
    assert [other.id for other in rest] == [1]


def registry(events: float, up: float, took: list[float]) -> str:
    own = CollectorRegistry()
    Counter("headgate_events_accepted", "Events.", ["source"], registry=own).labels("web").inc(
        events
    )
    Gauge("headgate_destination_up", "Up.", ["destination"], registry=own).labels("crm").set(up)
    Gauge("headgate_queue_end_offset", "End.", registry=own).set(events)
    Gauge("headgate_queue_pending_bytes", "Bytes.", registry=own).set(7)
    histogram = Histogram("headgate_took_seconds", "Time.", buckets=(1, 2), registry=own)
    for seconds in took:
        histogram.observe(seconds)
    return generate_latest(own).decode()


def test_metrics_are_merged_by_their_type() -> None:
    """Counters and buckets add up, a destination is up if all say so, offsets stay apart."""
    text = merge_metrics({0: registry(3, 1, [0.5, 1.5]), 1: registry(4, 0, [5.0])}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["headgate_events_accepted_total", "web"] == 7
    assert values["headgate_destination_up", "crm"] == 0
    assert values["headgate_queue_end_offset", "0"] == 3
    assert values["headgate_queue_end_offset", "1"] == 4
    assert values["headgate_queue_pending_bytes",] == 14
    buckets = [values["headgate_took_seconds_bucket", bound] for bound in ("1.0", "2.0", "+Inf")]
    assert buckets == [1, 2, 3]
    assert values["headgate_took_seconds_sum",] == 7.0
    assert families["headgate_events_accepted"].type == "counter"
    assert families["headgate_took_seconds"].type == "histogram"
