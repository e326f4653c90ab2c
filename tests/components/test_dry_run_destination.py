"""The stand-in for a destination in a dry run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.components.destination import Batch
from gateway.components.dry_run import Rehearsal, Write
from gateway.components.dry_run_destination import DryRunDestination
from gateway.errors import Permanent
from gateway.testing import make_batch, make_event


def writes(batch: Batch) -> Iterator[tuple[str, str]]:
    """Yields a write for each event; raises on an event without a user."""
    for event in batch:
        if event.user_id is None:
            raise Permanent("no user")
        yield "a table", event.user_id


async def test_it_records_the_writes_of_each_batch() -> None:
    """Writes are recorded in order, and it works without a start."""
    rehearsal = Rehearsal()
    destination = DryRunDestination(rehearsal, writes)
    await destination.send(make_batch([make_event(user_id="a"), make_event(user_id="b")]))
    assert rehearsal.take() == [Write("a table", "a"), Write("a table", "b")]
    await destination.stop()


async def test_it_refuses_what_the_other_would_refuse() -> None:
    """An error comes out of `send`; writes before it stay recorded."""
    rehearsal = Rehearsal()
    destination = DryRunDestination(rehearsal, writes)
    with pytest.raises(Permanent, match="no user"):
        await destination.send(make_batch([make_event(user_id="a"), make_event(user_id=None)]))
    assert rehearsal.take() == [Write("a table", "a")]
