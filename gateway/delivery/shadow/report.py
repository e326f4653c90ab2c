"""What a shadow has found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, structs

from gateway.events.json_diff import Change
from gateway.state.merging import _counts

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
"""What an event comes to. Of a shadow of another destination: both would send the ``same`` or
something ``different``, or one of them would send something, or ``neither``. Of any other it is
``sendable`` or ``withheld``. ``not_compared`` is what is beyond the rate."""


class Example(Struct, frozen=True):
    """An event that was looked at.

    Attributes:
        outcome: one of `OUTCOMES`.
        changes: from what the live destination would send to what the shadow would, less what is
            ignored; paths begin with the number of the request, such as ``[0].body.name``.
        shadow, live: what they would send, see `gateway.delivery.dry_run.MaskedJson`.
        shadow_why, live_why: why they would send nothing; empty where they would.
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
    """What a shadow has found since the config was last read.

    Attributes:
        of: the live destination, or empty.
        counts: events by outcome.
        paths: events by path at which there was a difference, places in lists left out.
        shadow_why, live_why: events by the reason why nothing would be sent.
        examples: the first events of each outcome in which the two differ.
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
    """What the shadows with one id have found in all shards; of examples, those of each."""
    all_ = list(found)
    counted = ("counts", "paths", "shadow_why", "live_why")
    return structs.replace(
        all_[0],
        since=min(one.since for one in all_),
        examples=[example for one in all_ for example in one.examples],
        recent=sorted((e for one in all_ for e in one.recent), key=lambda example: example.at),
        **{
            name: dict(Counter(_counts(getattr(one, name) for one in all_)).most_common())
            for name in counted
        },
    )
