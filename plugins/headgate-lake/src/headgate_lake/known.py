"""Finds out which events of a batch are in the lake already.

A file that cannot be read is set aside, as in merging: delivery goes on, and the events of that
file count as not there, so a replay brings them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headgate_lake.broken import Aside, read_all
from headgate_lake.session import Session

if TYPE_CHECKING:
    from gateway import Batch, Event

__all__ = ["missing", "new_ids"]


def missing(session: Session, batch: Batch, cursor: int, aside: Aside) -> list[int]:
    """Returns the places of the events that are not in the lake.

    Args:
        aside: is given a file that cannot be read, and the reason.
    """
    old = [place for place, offset in enumerate(batch.offsets) if offset < cursor]
    if not old:
        return list(range(len(batch)))
    offsets = [batch.offsets[place] for place in old]
    known = read_all(
        session,
        lambda: session.manifest.holding(batch.queue_id, min(offsets), max(offsets)),
        lambda parts: session.engine.offsets_in(parts, batch.queue_id, offsets),
        aside,
    )
    left = [place for place in old if batch.offsets[place] not in known]
    if left:
        ids = _ids_in_lake(session, [batch[place] for place in left], aside)
        left = [place for place in left if _id_of(batch[place]) not in ids]
    skipped = set(old) - set(left)
    return [place for place in range(len(batch)) if place not in skipped]


def new_ids(session: Session, batch: Batch, aside: Aside) -> list[int]:
    """Returns the places of the first events of each id that is not in the lake.

    Args:
        aside: is given a file that cannot be read, and the reason.
    """
    seen = _ids_in_lake(session, batch, aside)
    places = []
    for place, event in enumerate(batch):
        if (id_ := _id_of(event)) not in seen:
            seen.add(id_)
            places.append(place)
    return places


def _ids_in_lake(session: Session, events: Sequence[Event], aside: Aside) -> set[tuple[str, str]]:
    """Returns the ids of those events that came to the lake through another queue."""
    days = {(event.timestamp or "")[:10] for event in events}
    days |= {(event.received_at or "")[:10] for event in events} | {""}
    ids = [event.message_id for event in events]
    return read_all(
        session,
        lambda: [file for day in sorted(days) for file in session.manifest.files(day=day)],
        lambda parts: session.engine.ids_in(parts, ids),
        aside,
    )


def _id_of(event: Event) -> tuple[str, str]:
    return event.source_id, event.message_id
