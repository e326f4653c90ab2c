"""The findings of a shadow, in the form for users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, structs

from gateway.events.json_diff import Change
from gateway.state.merging import add_counts

__all__ = ["OUTCOMES", "Example", "ShadowReport", "merge_shadows"]

OUTCOMES = (
    "same",
    "different",
    "only_shadow",
    "only_live",
    "neither",
    "sendable",
    "withheld",
    "not_compared",
)
"""The outcomes of an event. For a shadow of another destination: both would send the ``same`` or
something ``different``, or only one would send something, or ``neither``. For any other shadow the
event is ``sendable`` or ``withheld``. Events beyond the rate are ``not_compared``."""


class Example(Struct, frozen=True):
    """An event that was compared.

    Attributes:
        outcome: one of `OUTCOMES`.
        changes: differences from what the live destination would send to what the shadow would
            send, without those that are ignored. Paths begin with the number of the request, such
            as ``[0].body.name``.
        shadow, live: what each would send; see `gateway.delivery.dry_run.MaskedJson`.
        shadow_why, live_why: why each would send nothing; empty if it would.
    """

    at: str
    message_id: str
    event: str
    outcome: str
    changes: list[Change] = []
    shadow: Any = None
    shadow_why: str = ""
    live: Any = None
    live_why: str = ""


class ShadowReport(Struct, frozen=True):
    """The findings of a shadow since the config was last read.

    Attributes:
        of: the live destination, or empty.
        counts: events by outcome.
        paths: events by path of a difference, without the places in lists.
        shadow_why, live_why: events by the reason for sending nothing.
        examples: the first events of each outcome in which both differ.
        recent: the newest events that the shadow would send.
    """

    id: str
    of: str
    since: str
    counts: dict[str, int]
    paths: dict[str, int]
    shadow_why: dict[str, int]
    live_why: dict[str, int]
    examples: list[Example]
    recent: list[Example]


def merge_shadows(found: Iterable[ShadowReport]) -> ShadowReport:
    """Merges the findings of one shadow in all shards; all examples are kept."""
    all_ = list(found)
    counted = ("counts", "paths", "shadow_why", "live_why")
    return structs.replace(
        all_[0],
        since=min(one.since for one in all_),
        examples=[example for one in all_ for example in one.examples],
        recent=sorted((e for one in all_ for e in one.recent), key=lambda example: example.at),
        **{
            name: dict(Counter(add_counts(getattr(one, name) for one in all_)).most_common())
            for name in counted
        },
    )
