"""Prometheus metrics of a gateway, collected at each scrape.

docs/operate/operations.md describes every name.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.rollouts.machine import STATUSES
from gateway.runtime.gateway import Gateway
from gateway.runtime.output import lost_lines

__all__ = ["GatewayCollector", "render"]


class GatewayCollector(Collector):
    """All metrics of a gateway.

    Args:
        process: add those of the process, in which several gateways may run.
    """

    def __init__(self, gateway: Gateway, *, process: bool = True) -> None:
        self._gateway = gateway
        self._process = process

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics for one scrape."""
        info = GaugeMetricFamily(
            "headgate_info", "Always 1; the version is a label.", labels=["version"]
        )
        info.add_metric([__version__], 1)
        yield info
        if self._process:
            lost = _counter("log_lines_lost", "Lines of output that nobody took in time.")
            lost.add_metric([], lost_lines())
            yield lost
        yield from self._config_metrics()
        yield from self._source_metrics()
        yield from self._queue_metrics()
        yield from self._group_metrics()
        yield from self._destination_metrics()
        if self._gateway.rollouts:
            yield from self._rollout_metrics()
        if self._gateway.jobs.records:
            yield from self._job_metrics()

    def _config_metrics(self) -> Iterator[Metric]:
        reloads = self._gateway.reloads
        info = GaugeMetricFamily(
            "headgate_config_info", "Always 1; the hash of the file is a label.", labels=["hash"]
        )
        info.add_metric([reloads.hash], 1)
        yield info
        yield _gauge(
            "config_loaded_timestamp_seconds",
            "When the config was loaded.",
            reloads.loaded_ms / 1000,
        )
        yield _gauge("config_refused", "1 while the config file is refused.", bool(reloads.problem))
        results = _counter("config_reloads", "Reloads of the config file.", "result")
        for result, number in reloads.results.items():
            results.add_metric([result], number)
        yield results

    def _source_metrics(self) -> Iterator[Metric]:
        ledger = self._gateway.ledger
        received = _counter("events_received", "Events with a final answer.", "source")
        accepted = _counter("events_accepted", "Events stored in the queue.", "source")
        duplicate = _counter("events_duplicate", "Events seen before.", "source")
        refused = _counter("events_refused", "Events answered 503, to be sent again.", "source")
        discarded = _counter(
            "events_discarded", "Events that cannot be accepted.", "source", "code"
        )
        for id_, counts in ledger.sources.items():
            received.add_metric([id_], counts.received)
            accepted.add_metric([id_], counts.accepted)
            duplicate.add_metric([id_], counts.duplicate)
            refused.add_metric([id_], counts.refused)
            for code, number in counts.discarded.items():
                discarded.add_metric([id_, code], number)
        rejected = _counter("requests_rejected", "Requests answered with an error.", "code")
        for code, number in ledger.rejected_requests.items():
            rejected.add_metric([code], number)
        roads = _counter("intake_events", "Stored events by how intake took them.", "road")
        for road in ("fast", "mixed", "slow"):
            roads.add_metric([road], ledger.roads[road])
        yield from (received, accepted, duplicate, refused, discarded, rejected, roads)

    def _queue_metrics(self) -> Iterator[Metric]:
        queue = self._gateway.queue
        status = queue.store.status()
        yield _gauge("queue_pending_bytes", "Bytes waiting to be written.", queue.pending_bytes)
        yield _gauge("queue_stored_bytes", "Bytes that the queue keeps.", status.stored_bytes)
        yield _gauge("queue_first_offset", "Offset of the oldest event kept.", status.first)
        yield _gauge("queue_end_offset", "Offset of the next event.", status.end)
        yield _gauge("queue_failing", "1 while events cannot be stored.", bool(status.problem))
        damaged = _counter("queue_damaged_events", "Events lost to damage of stored frames.")
        damaged.add_metric([], status.damaged_events)
        yield damaged
        ids = self._gateway.recent_ids
        if ids is not None:
            yield _gauge("dedup_entries", "Message ids remembered.", len(ids))

    def _group_metrics(self) -> Iterator[Metric]:
        memberships, identity = self._gateway.topology.memberships, self._gateway.identity
        if memberships:
            conflicts = _counter(
                "group_stamp_conflicts", "Clients' own values for a stamp.", "group", "what"
            )
            for what, numbers in (
                ("replaced", memberships.replaced),
                ("not_an_object", memberships.refused),
            ):
                for id_, number in numbers.items():
                    conflicts.add_metric([id_, what], number)
            yield conflicts
        if identity.active:
            yield _gauge("identity_links", "Users linked to a visitor.", len(identity))
            refused = _counter("identity_refused", "Users who could not be linked.", "reason")
            for reason, number in identity.refused.items():
                refused.add_metric([reason], number)
            yield refused

    def _destination_metrics(self) -> Iterator[Metric]:
        delivered = _counter("destination_delivered", "Events delivered.", "destination")
        filtered = _counter(
            "destination_filtered", "Events that a rule keeps from it.", "destination", "rule"
        )
        dead = _counter("destination_dead", "Dead letters.", "destination", "reason")
        accepted = _counter("destination_accepted", "Events since it began.", "destination")
        replayed = _counter("destination_replayed", "Events of the past sent again.", "destination")
        retried = _counter("destination_retried", "Events sent again.", "destination")
        pending = GaugeMetricFamily(
            "headgate_destination_pending_events",
            "Events without an outcome yet.",
            labels=["destination"],
        )
        healthy = GaugeMetricFamily(
            "headgate_destination_up", "1 while deliveries succeed.", labels=["destination"]
        )
        waiting = GaugeMetricFamily(
            "headgate_destination_waiting_events",
            "Pending events in the retry lane.",
            labels=["destination"],
        )
        concurrency = GaugeMetricFamily(
            "headgate_destination_concurrency", "Sends allowed at once.", labels=["destination"]
        )
        missing = GaugeMetricFamily(
            "headgate_ledger_missing_events",
            "Events that are accounted for nowhere, or twice; 0 unless there is a defect.",
            labels=["books"],
        )
        replaying = GaugeMetricFamily(
            "headgate_replay_remaining_events",
            "Events of the queue that a replay has not read yet.",
            labels=["destination"],
        )
        counted = _counter(
            "destination_counted", "Counts of the destination's own.", "destination", "what"
        )
        for built in self._gateway.destinations:
            for what, number in built.counted.items():
                counted.add_metric([built.id, what], number)
        for id_, number in self._gateway.replays.remaining().items():
            replaying.add_metric([id_], number)
        end = self._gateway.queue.end
        for id_, worker in self._gateway.workers.items():
            counts = worker.counts
            accepted.add_metric([id_], max(end, worker.cursor) - counts.base)
            replayed.add_metric([id_], counts.replayed)
            missing.add_metric([f"destination {id_}"], abs(worker.missing) + counts.leaked)
            delivered.add_metric([id_], counts.delivered)
            retried.add_metric([id_], counts.retried)
            pending.add_metric([id_], worker.pending(end))
            waiting.add_metric([id_], worker.waiting)
            concurrency.add_metric([id_], worker.sender.concurrency)
            healthy.add_metric([id_], worker.condition.state == "ok")
            for rule, number in counts.filtered.items():
                filtered.add_metric([id_, rule], number)
            for reason, number in counts.dead.items():
                dead.add_metric([id_, reason], number)
        missing.add_metric(["sources"], abs(self._gateway.source_ledger.missing))
        yield from (accepted, replayed, delivered, filtered, dead, retried, counted)
        yield from (pending, waiting, concurrency, healthy, missing, replaying)

    def _rollout_metrics(self) -> Iterator[Metric]:
        percent = _gauges("rollout_percent", "Share of ids in the test arm.", "group")
        state = _gauges("rollout_state", "1 for the current state.", "group", "state")
        users = _gauges("rollout_users", "Users seen in this stage.", "group", "arm")
        value = _gauges("rollout_value", "A guardrail's metric.", "group", "metric", "arm")
        evidence = _gauges(
            "rollout_evidence",
            "Evidence for a broken guardrail; 1 is enough.",
            "group",
            "metric",
        )
        beyond = _gauges(
            "rollout_limit_evidence",
            "Evidence for an arm beyond its limit; 1 is enough.",
            "group",
            "metric",
            "arm",
        )
        decisions = _counter("rollout_decisions", "Decisions made.", "group", "action", "by")
        for one in self._gateway.rollouts.views():
            percent.add_metric([one.group], one.percent)
            for name in STATUSES:
                state.add_metric([one.group, name], one.status == name)
            for arm, number in zip(("test", "control"), one.users, strict=True):
                users.add_metric([one.group, arm], number)
            for found in one.findings:
                value.add_metric([one.group, found.metric, "test"], found.test.value)
                value.add_metric([one.group, found.metric, "control"], found.control.value)
                evidence.add_metric([one.group, found.metric], found.evidence)
                for arm, against in zip(("test", "control"), found.limit_evidence, strict=True):
                    beyond.add_metric([one.group, found.metric, arm], against)
        for (group, action, by), number in self._gateway.rollouts.decided.items():
            decisions.add_metric([group, action, by], number)
        yield from (percent, state, users, value, evidence, beyond, decisions)

    def _job_metrics(self) -> Iterator[Metric]:
        jobs = self._gateway.jobs
        runs = _counter("job_runs", "Runs of jobs.", "job", "outcome")
        for (name, outcome), number in jobs.results.items():
            runs.add_metric([name, outcome], number)
        failing = _gauges("job_failing", "1 while a job's last run did not succeed.", "job")
        succeeded = _gauges(
            "job_succeeded_timestamp_seconds", "End of the last run that succeeded.", "job"
        )
        for one in jobs.status():
            failing.add_metric([one.name], one.failing)
        for name, record in jobs.records.items():
            succeeded.add_metric([name], record.succeeded_ms / 1000)
        yield from (runs, failing, succeeded)


def _gauges(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"headgate_{name}", text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"headgate_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"headgate_{name}", text, value=value)


def render(gateway: Gateway, *, process: bool = True) -> bytes:
    """Returns all metrics in Prometheus' text format, with or without those of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(GatewayCollector(gateway, process=process))
    return generate_latest(registry)
