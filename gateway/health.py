"""The answer of /health: whether events are taken in, and which part fails if one does."""

from __future__ import annotations

from typing import Any

from gateway import __version__
from gateway.events.timestamps import format_ms
from gateway.pipeline import Gateway
from gateway.rollouts.machine import GATEWAY
from gateway.rollouts.view import View

__all__ = ["report"]


def report(gateway: Gateway) -> dict[str, Any]:
    """State of each part.

    ``status`` is ``ok``; ``degraded`` where events are taken in and some part needs attention; or
    ``failing`` where they are not. ``failing`` lists the parts concerned, in words.
    """
    failing: list[str] = []
    stored = gateway.queue.store.status()
    if stored.problem:
        failing.append(f"queue: {stored.problem}")
    destinations = {}
    for id_, worker in gateway.workers.items():
        condition = worker.condition
        destinations[id_] = {
            "status": condition.state,
            "since": format_ms(condition.since_ms),
            "pending_events": worker.pending(gateway.queue.end),
            "waiting_events": worker.waiting,
            "dead_events": worker.counts.dead.total(),
        }
        if condition.state != "ok":
            # What a vendor answered is not for everybody, as this answer is.
            why = condition.error if condition.ours else "`gateway status` and the log say why"
            failing.append(f"destination {id_}: {condition.state}: {why}")
    failing += _unbalanced(gateway)
    rollouts = gateway.rollouts.views()
    failing += [
        f"rollout {one.group}: {one.status} at {one.percent:g} %: {one.reason}"
        for one in rollouts
        if one.needs_somebody
    ]
    if stored.damaged_events:
        failing.append(f"queue: {stored.damaged_events} events were lost to damaged frames")
    config = gateway.reloads.status()
    if config.problem:
        # Not why: that may quote the file, and this answer is for everybody.
        failing.append(
            f"config: the file was refused at {config.refused_at} and the one before is used: see "
            "`gateway status`"
        )
    status = "failing" if stored.problem else "degraded" if failing else "ok"
    return {
        "status": status,
        "failing": failing,
        "version": __version__,
        "config": {
            "hash": config.hash,
            "loaded_at": config.loaded_at,
            "waits_for_start": config.waits,
        },
        "queue": {
            "status": "failing" if stored.problem else "ok",
            "stored_events": stored.end - stored.first,
            "stored_bytes": stored.stored_bytes,
            "pending_bytes": gateway.queue.pending_bytes,
        },
        "destinations": destinations,
        "rollouts": {
            one.group: {
                "status": one.status,
                "percent": one.percent,
                "since": one.changed_at,
                **_decided_by(one),
            }
            for one in rollouts
        },
    }


def _decided_by(one: View) -> dict[str, str]:
    """Who decided last, and why; of a person neither name nor words, as everybody can read it."""
    if one.by == GATEWAY:
        return {"by": GATEWAY, "reason": one.reason}
    return {"by": "operator", "reason": ""}


def _unbalanced(gateway: Gateway) -> list[str]:
    """Books that do not balance."""
    books = {
        f"destination {id_}": w.missing or w.counts.leaked for id_, w in gateway.workers.items()
    }
    books["sources"] = gateway.books.missing
    return [
        f"ledger: {abs(number)} events of {name} are accounted for nowhere, or twice: see "
        "`gateway ledger`"
        for name, number in books.items()
        if number
    ]
