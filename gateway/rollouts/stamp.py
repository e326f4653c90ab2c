"""Writes the arms of an event into the event, for later analysis.

For every group with ``stamp = true``, destinations get ``context.groups.ID = {"arm": "test",
"weight": 20.0}``. Delivery writes it into copies, so that it is the arm by which the event was
sent; the stored event stays as it is.

The gateway owns these keys: it replaces a client's ``context.groups.ID``, and removes it if the
event is in no arm. The client's other keys below ``context.groups`` stay. If its ``context.groups``
is not an object, that stays and the event is not stamped. Both cases are counted.
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
    """Writes arms into events.

    Attributes:
        groups: those with ``stamp = true``.
        replaced: number of client values replaced or removed, by group; an event counts once for
            each destination.
        refused: number of events not stamped because the client's value is not an object, by group.

    Args:
        before: of the earlier config; its counters continue.
    """

    def __init__(self, groups: Iterable[Group], before: Memberships | None = None) -> None:
        self.groups = tuple(groups)
        self._ids = frozenset(group.id for group in self.groups)
        self.replaced: Counter[str] = Counter() if before is None else before.replaced
        self.refused: Counter[str] = Counter() if before is None else before.refused

    def __bool__(self) -> bool:
        return bool(self.groups)

    def stamped(self, events: Sequence[Event], *, today: bool = False) -> list[Event]:
        """Returns the events, those in an arm as stamped copies.

        Args:
            today: use the current arms instead of those at the time of receipt.
        """
        return [self._stamped(event, today=today) for event in events]

    def _stamped(self, event: Event, *, today: bool) -> Event:
        arms = {}
        for group in self.groups:
            member = group.member_today(event) if today else group.member(event)
            if member is not None:
                arms[group.id] = member
        context = bytes(event.raw_context)
        # Only an escape sequence lets the client's own key be spelled differently.
        if b'groups"' in context or b"\\u" in context:
            return self._merged(event, arms)
        if not arms:
            return event
        inner = context[1:-1].strip()
        added = b'"groups":%b}' % json.encode(_values(arms))
        twin = event.copy()
        twin.set_raw("raw_context", Raw(b"{" + (inner + b"," if inner else b"") + added))
        return twin

    def _merged(self, event: Event, arms: Mapping[str, Membership]) -> Event:
        """Returns the stamped event if the client may have sent ``context.groups``."""
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
