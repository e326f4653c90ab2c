"""What the lake lacks, by the ledger of the running gateway."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct, convert

from gateway import GatewayError, find_gateway
from gateway import Scope as GatewayScope

__all__ = ["Completeness", "ask_completeness"]


class Completeness(Struct, frozen=True, kw_only=True):
    """What the ledger says, since the lake began.

    Attributes:
        accepted: events that the gateway accepted for the lake.
        missing: how many the lake does not have, by reason: refused at intake, filtered, dead, or
            still on their way.
    """

    accepted: int
    missing: dict[str, int]


class _Source(Struct):
    discarded: dict[str, int]


class _Destination(Struct):
    id: str
    accepted: int
    filtered: dict[str, int]
    dead: dict[str, int]
    queued: int
    waiting: int


class _Ledger(Struct):
    sources: list[_Source]
    destinations: list[_Destination]


def ask_completeness(scope: GatewayScope) -> Completeness | None:
    """Asks the running gateway; returns None if none runs, or if it does not answer."""
    lakes = set(scope.configs("lake"))
    try:
        remote = find_gateway(scope)
        answer = None if remote is None else remote.get("/admin/ledger")
    except GatewayError:
        return None  # a figure without its completeness says so, and is still an answer
    return None if answer is None else _missing(convert(answer, _Ledger), lakes)


def _missing(ledger: _Ledger, lakes: set[str]) -> Completeness:
    missing: Counter[str] = Counter()
    for source in ledger.sources:
        missing.update({f"refused: {code}": number for code, number in source.discarded.items()})
    accepted = 0
    for one in ledger.destinations:
        if one.id in lakes:
            accepted += one.accepted
            missing.update({f"filtered: {rule}": n for rule, n in one.filtered.items()})
            missing.update({f"dead: {reason}": n for reason, n in one.dead.items()})
            missing["on their way"] += one.queued + one.waiting
    return Completeness(accepted=accepted, missing={key: n for key, n in missing.items() if n})
