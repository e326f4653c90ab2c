"""One send of one batch: it is timed, recorded as attempts and shown to watchers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from gateway.components.destination import Batch
from gateway.components.verdict import Verdict
from gateway.delivery.context import WorkerContext
from gateway.state import Attempt, Offsets
from gateway.state.live_tail import LiveTail

__all__ = ["send_once"]


async def send_once(
    context: WorkerContext, batch: Batch, *, blame: bool
) -> tuple[Verdict, list[Attempt]]:
    """Sends a batch once, and returns the verdict and the attempts to record.

    Args:
        blame: as for `Sender.attempt`.
    """
    loop = asyncio.get_running_loop()
    began_ms, began = context.clock(), loop.time()
    verdict = await context.sender.attempt(batch, blame=blame)
    took_ms = round((loop.time() - began) * 1000, 2)
    attempts = _attempts_of(batch, verdict, began_ms, took_ms)
    if context.live_tail:
        _publish(context.live_tail, context.id, batch, attempts)
    return verdict, attempts


def _attempts_of(batch: Batch, verdict: Verdict, began_ms: int, took_ms: float) -> list[Attempt]:
    """Returns the attempts that record one send."""
    failed = {*verdict.dead, *verdict.again}
    delivered: Sequence[int] = batch.offsets
    if failed:
        delivered = [offset for i, offset in enumerate(batch.offsets) if i not in failed]
    found = []
    if delivered:
        found.append(Attempt(Offsets.of(delivered), "delivered", "", began_ms, took_ms))
    if verdict.whole or verdict.divide:
        offsets = Offsets.of(batch.offsets[i] for i in verdict.again)
        found.append(Attempt(offsets, "failed", verdict.detail, began_ms, took_ms))
    else:
        found += [
            Attempt(
                Offsets.of([batch.offsets[i]]),
                "retry",
                verdict.again_detail.get(i, verdict.detail),
                began_ms,
                took_ms,
            )
            for i in verdict.again
        ]
    found += [
        Attempt(Offsets.of([batch.offsets[i]]), "dead", why, began_ms, took_ms)
        for i, why in verdict.dead.items()
    ]
    return found


def _publish(
    live_tail: LiveTail, destination: str, batch: Batch, attempts: Iterable[Attempt]
) -> None:
    """Shows the attempts of one send to watchers."""
    event_at = dict(zip(batch.offsets, batch.events, strict=True))
    for attempt in attempts:
        events = [event for offset, event in event_at.items() if offset in attempt.offsets]
        live_tail.publish(
            attempt.began_ms,
            attempt.outcome,
            events,
            destination=destination,
            detail=attempt.detail,
        )
