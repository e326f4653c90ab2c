"""Erasure of links between users and visitors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.events.conditions.unit import visitor_of
from gateway.events.envelope.sealed import Origin, seal, stored_events
from gateway.events.event import encode_events
from gateway.events.subjects import Subjects, redact
from gateway.identity.links import FILE_NAME
from tests.support.identity_links import (
    alias,
    as_sent,
    bytes_below,
    identity,
    seen,
    store,
    visitors,
)


@pytest.mark.parametrize("started", [True, False])
async def test_who_is_erased_is_linked_no_more(tmp_path: Path, *, started: bool) -> None:
    """Erasure removes links of users and to visitors from every byte of file and journal."""
    path = tmp_path / FILE_NAME
    one = identity(path)
    await one.start(store())
    one.learn([seen("ada-1815", "phone"), seen("bob", "desk-4711"), alias("eve", "old-eve")])
    one.learn([seen("carl", "slate")])
    if not started:
        await one.stop()
        one = identity(path)
    subjects = Subjects(frozenset({"ada-1815", "old-eve"}), frozenset({"desk-4711"}))
    assert await one.erase(subjects) == 3
    if started:
        assert one._links == {"carl": "slate"}
        assert visitors(one, seen("bob")) == ["bob"]
        await one.stop()
    kept = bytes_below(tmp_path)
    for name in (b"ada-1815", b"old-eve", b"desk-4711", b"phone"):
        assert name not in kept
    assert b"slate" in kept


async def test_without_a_file_there_is_nothing_to_erase(tmp_path: Path) -> None:
    """Erasure without a file finds nothing and creates no file."""
    assert await identity(tmp_path / FILE_NAME).erase(Subjects(frozenset({"ada"}))) == 0
    assert bytes_below(tmp_path) == b""


@pytest.mark.parametrize("form", ["sealed", "singly"])
def test_a_note_of_a_visitor_is_erased_and_the_event_stays(form: str) -> None:
    """Erasing a visitor removes the note from other people's events and keeps the events."""
    one = identity()
    one.learn([seen("ada", "phone"), seen("bob", "desk")])
    events = [seen("ada"), seen("bob")]
    if form == "singly":
        one.learn_and_note(events, events)
        payload = encode_events(events)
    else:
        sent = msgspec.json.encode([as_sent(event) for event in events])
        origin = Origin("web", 1_795_442_400_000, visitors=one.learn(events))
        _, payload = seal(origin, sent, 2, addressed=False)
    assert [visitor_of(event) for event in stored_events(payload)] == ["phone", "desk"]
    assert redact(Subjects(anonymous=frozenset({"slate"})), payload) is None
    redacted = redact(Subjects(anonymous=frozenset({"phone"})), payload)
    assert redacted is not None
    assert redacted.ids == []
    assert b"phone" not in redacted.payload
    after = list(stored_events(redacted.payload))
    assert [visitor_of(event) for event in after] == ["ada", "desk"]
    before = list(stored_events(payload))
    assert [event.to_json() for event in after] == [event.to_json() for event in before]
