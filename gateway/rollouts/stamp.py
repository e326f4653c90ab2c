"""Writes into events which arm of a group they are of, for who analyses them later.

Each destination gets ``context.groups.ID = {"arm": "test", "weight": 20.0}`` of every group with
``stamp = true`` that the event is in an arm of. It is written at delivery, into copies, so that it
is the arm by which the event was sent there; what is stored stays as it came.

That name is the gateway's: what a client sends as ``context.groups.ID`` is replaced, or taken out
where the event is in no arm. The client's other keys below ``context.groups`` stay. Where its
``context.groups`` is no object at all, it stays, and the event is not stamped. Both are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Raw, json

from gateway.events.event import Event
from gateway.rollouts.groups import Group, Membership

__all__ = ["Memberships"]

_KEY = "groups"


class Memberships:
    """Stamps events.

    Attributes:
        groups: those with ``stamp = true``.
        replaced: by group, values of clients that were replaced or taken out; for each destination
            that the event went to.
        refused: by group, events that were not stamped because the client's value is no object.

    Args:
        before: whose counts go on.
    """

    def __init__(self, groups: Iterable[Group], before: Memberships | None = None) -> None:
        self.groups = tuple(groups)
        self._ids = frozenset(group.id for group in self.groups)
        self.replaced: Counter[str] = Counter() if before is None else before.replaced
        self.refused: Counter[str] = Counter() if before is None else before.refused

    def __bool__(self) -> bool:
        return bool(self.groups)

    def stamped(self, events: Sequence[Event], *, today: bool = False) -> list[Event]:
        """The events, or copies of them with what there is to write.

        Args:
            today: go by the arms as they are today, whenever events came in.
        """
        return [self._stamped(event, today=today) for event in events]

    def _stamped(self, event: Event, *, today: bool) -> Event:
        arms = {}
        for group in self.groups:
            member = group.member_today(event) if today else group.member(event)
            if member is not None:
                arms[group.id] = member
        context = bytes(event.raw_context)
        # The client's own key may stand there in another form only with an escape in it.
        if b'groups"' in context or b"\\u" in context:
            return self._merged(event, arms)
        if not arms:
            return event
        inner = context[1:-1].strip()
        added = b'"groups":%b}' % json.encode(_values(arms))
        twin = event.copy()
        twin.raw_context = Raw(b"{" + (inner + b"," if inner else b"") + added)
        twin.__dict__.pop("raw_context", None)
        return twin

    def _merged(self, event: Event, arms: Mapping[str, Membership]) -> Event:
        """The same, where the client may have written such a thing itself."""
        context = dict(event.context)
        sent = context.get(_KEY)
        if sent is not None and not isinstance(sent, Mapping):
            self.refused.update(arms.keys())
            return event
        claimed = self._ids & (sent or {}).keys()
        self.replaced.update(claimed)
        if not arms and not claimed:
            return event
        kept = {key: value for key, value in (sent or {}).items() if key not in claimed}
        context[_KEY] = kept | _values(arms)
        if not context[_KEY]:
            del context[_KEY]
        twin = event.copy()
        twin.context = context
        return twin


def _values(arms: Mapping[str, Membership]) -> dict[str, dict[str, str | float]]:
    return {id_: {"arm": one.arm, "weight": one.weight} for id_, one in arms.items()}
