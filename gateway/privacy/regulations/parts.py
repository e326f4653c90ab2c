"""A regulation over several shards: one leads, each of the others does its part.

Shard 0 takes the regulation and is the only one that reports it. It has every other shard erase
what that one keeps, again and again until all have, and only then asks destinations to erase: by
then nothing of the users is under way to them, in no shard, and a vendor is asked once. What a
destination stores for each shard apart (`Destination.stores_by_shard`) is part of the shard.
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
"""What a shard has to do with a regulation: ``whole`` where there is no other shard."""

_STATUSES = {"INITIALIZED": "RUNNING", "PARTIAL_SUCCESS": "NOT_SUPPORTED"}
_AGAIN_MS = 500


class Part(Struct, frozen=True):
    """What another shard has to do.

    Attributes:
        group: names the regulation in all shards.
    """

    kind: str
    group: str
    actor: str
    user_ids: tuple[str, ...]
    anonymous_ids: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, group: str, actor: str, whose: Subjects) -> Part:
        """The part of a regulation."""
        return cls(kind, group, actor, tuple(sorted(whose.users)), tuple(sorted(whose.anonymous)))

    @property
    def subjects(self) -> Subjects:
        """Whose data."""
        return Subjects(frozenset(self.user_ids), frozenset(self.anonymous_ids))


class Others(Protocol):
    """The other shards, as shard 0 reaches them."""

    @property
    def names(self) -> Sequence[str]:
        """What each is called in a report."""

    async def do(self, part: Part) -> Mapping[str, Report | None]:
        """Have each do its part, unless it has been told already.

        Returns:
            By name how far it is; None for one that does not answer.
        """

    async def retry(self, group: str) -> None:
        """Have each try again what failed of its part.

        Raises:
            GatewayError: one does not answer.
        """

    async def forget(self, group: str) -> None:
        """Have each forget its part, and whose it was.

        Raises:
            GatewayError: one does not answer.
        """


def place_of(name: str, report: Report | None, now_ms: int) -> Place:
    """What one of the others has come to, as a place of the report."""
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
    """A place that was asked and is there no longer."""
    if name.startswith("destination "):
        text = "it is no longer in config: delete the users there by hand"
        return Place(name, "NOT_SUPPORTED", detail=text)
    # A shard's folder was removed, or the shard is asked by the name that it has now.
    return Place(name, "FINISHED", detail="it is no longer there, or has another name")
