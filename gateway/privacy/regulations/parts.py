"""A regulation over several shards: shard 0 leads, each of the others does its part.

Shard 0 takes the regulation and alone reports it. It asks the other shards until all have erased
the subjects. Only then does it ask destinations to erase: no shard sends them events of the
subjects any more, and each vendor is asked once. A destination that stores data for each shard
separately (`Destination.stores_by_shard`) belongs to the part of each shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from gateway.events.subjects import Subjects
from gateway.privacy.regulations.report import Report
from gateway.state.regulations import Place

__all__ = ["Others", "Part", "Role", "gone", "place_of"]

Role = Literal["whole", "lead", "part"]
"""The role of a shard in a regulation: ``whole`` where there is no other shard."""

_STATUSES = {"INITIALIZED": "RUNNING", "PARTIAL_SUCCESS": "NOT_SUPPORTED"}
_AGAIN_MS = 500


class Part(Struct, frozen=True):
    """A shard's part of a regulation that another shard leads.

    Attributes:
        group: the regulation's name in all shards.
    """

    kind: str
    group: str
    actor: str
    user_ids: tuple[str, ...]
    anonymous_ids: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, group: str, actor: str, whose: Subjects) -> Part:
        """Returns the part of a regulation."""
        return cls(kind, group, actor, tuple(sorted(whose.users)), tuple(sorted(whose.anonymous)))

    @property
    def subjects(self) -> Subjects:
        """The ids of the data subjects."""
        return Subjects(frozenset(self.user_ids), frozenset(self.anonymous_ids))


class Others(Protocol):
    """The other shards, as shard 0 reaches them."""

    @property
    def names(self) -> Sequence[str]:
        """The name of each in a report."""

    async def do(self, part: Part) -> Mapping[str, Report | None]:
        """Starts the part of each shard, unless it is started already.

        Returns:
            The report of each part by name; None for a shard that does not answer.
        """

    async def retry(self, group: str) -> None:
        """Tries the failed places of each part again.

        Raises:
            GatewayError: a shard does not answer.
        """

    async def forget(self, group: str) -> None:
        """Deletes each part and its ids.

        Raises:
            GatewayError: a shard does not answer.
        """


def place_of(name: str, report: Report | None, now_ms: int) -> Place:
    """Returns the progress of another shard as a place of the report."""
    again_ms = now_ms + _AGAIN_MS
    if report is None:
        return Place(name, "RUNNING", detail="does not answer, is asked again", next_ms=again_ms)
    told = []
    for one in report.places:
        if one.status not in ("FINISHED", "RUNNING"):
            told.append(f"{one.place} {one.status}: {one.detail}")
        elif one.items:
            told.append(f"{one.place} {one.items:,}")
    status = _STATUSES.get(report.status, report.status)
    items = sum(one.items for one in report.places)
    return Place(
        name, status, items, "; ".join(told), next_ms=again_ms if status == "RUNNING" else 0
    )


def gone(name: str) -> Place:
    """Returns the result of a place that was asked and no longer exists."""
    if name.startswith("destination "):
        text = "it is no longer in config: delete the users there by hand"
        return Place(name, "NOT_SUPPORTED", detail=text)
    # The shard's folder was removed, or the shard has a new name and is asked by that.
    return Place(name, "FINISHED", detail="it is no longer there, or has another name")
