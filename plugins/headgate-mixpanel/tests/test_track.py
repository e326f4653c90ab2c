"""Live events to /track, browsers from the User-Agent, and texts that Mixpanel cuts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import BatchError, Context, Secret, format_ms
from gateway.testing import Answer, FakeVendor, Received, make_batch, make_context, make_event
from headgate_mixpanel import MixpanelConfig
from headgate_mixpanel.browser import browser_of
from headgate_mixpanel.destination import Mixpanel
from headgate_mixpanel.mapping import IMPORT, TRACK, Mapper

TOKEN = "a-very-secret-token"
HOUR_MS = 3_600_000
CHROME = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_5) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/79.0.3945.117 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.4 Mobile/15E148 Safari/604.1"
)


@asynccontextmanager
async def running(vendor: FakeVendor, context: Context, **keys: Any) -> AsyncIterator[Mixpanel]:
    settings = {"api": "track", "url": vendor.url, **keys}
    destination = Mixpanel(MixpanelConfig(token=Secret(TOKEN), **settings), context)
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def aged(context: Context, hours: float, **fields: Any) -> Any:
    return make_event(timestamp=format_ms(context.clock() - int(hours * HOUR_MS)), **fields)


async def test_live_events_are_tracked_and_old_ones_imported(tmp_path: Path) -> None:
    """Each event is sent once; the token in tracked events is their only credential."""
    context = make_context(tmp_path)
    events = [aged(context, hours, event=f"{hours:g}") for hours in (0, 118, 120, 1000)]
    async with (
        FakeVendor(default=Answer(json={"status": 1})) as vendor,
        running(vendor, context) as destination,
    ):
        await destination.send(make_batch(events))
        sent = {request.path.partition("?")[0]: request for request in vendor.requests}
        assert len(vendor.requests) == 2
        tracked, imported = sent["/track"], sent["/import"]
        assert [record["event"] for record in tracked.json()] == ["0", "118"]
        assert [record["event"] for record in imported.json()] == ["120", "1000"]
        assert {record["properties"]["token"] for record in tracked.json()} == {TOKEN}
        assert "Authorization" not in tracked.headers
        assert all("token" not in record["properties"] for record in imported.json())


async def test_a_bad_event_among_those_tracked_is_found(tmp_path: Path) -> None:
    """/track answers for a whole request, so it is halved. The reason shows no secret."""
    context = make_context(tmp_path)
    events = [aged(context, 0, event="bad" if n == 5 else "good") for n in range(8)]
    taken: list[str] = []

    def answer(request: Received) -> Answer:
        records = request.json()
        if any(record["event"] == "bad" for record in records):
            return Answer(json={"status": 0, "error": f"{TOKEN} is bad"})
        taken.extend(record["properties"]["$insert_id"] for record in records)
        return Answer(json={"status": 1})

    async with FakeVendor(default=answer) as vendor, running(vendor, context) as destination:
        with pytest.raises(BatchError) as raised:
            await destination.send(make_batch(events))
    assert set(raised.value.failed) == {5}
    assert TOKEN not in str(raised.value.failed[5]) + raised.value.failed[5].exchange
    assert len(taken) == len(set(taken)) == 7


def test_joining_two_ids_goes_the_way_of_events(tmp_path: Path) -> None:
    """Otherwise the join could arrive long before or after its events."""
    context = make_context(tmp_path)
    config = MixpanelConfig(token=Secret(TOKEN), api="track", identity="original")
    mapper = Mapper(config, context.clock)
    ids = {"type": "identify", "user_id": "u", "anonymous_id": "a", "event": None}
    routes = [mapper(aged(context, hours, **ids))[-1].route for hours in (1, 200)]
    assert routes == [TRACK, IMPORT]


@pytest.mark.parametrize(
    ("agent", "found"),
    [
        (CHROME, ("Chrome", "79.0")),
        (CHROME.replace("Safari/537.36", "Safari/537.36 Edg/79.0.309"), ("Microsoft Edge", "79.0")),
        (
            IPHONE,
            ("Mobile Safari", "17.4"),
        ),
        ("no browser at all", None),
        ("", None),
        (CHROME + " " * 1000, None),
    ],
)
def test_the_browser_is_told_by_the_user_agent(agent: str, found: tuple[str, str] | None) -> None:
    """A browser gets Mixpanel's name; user agents that are too long are not parsed."""
    assert browser_of(agent) == found


@given(st.text())
def test_any_user_agent_can_be_read(agent: str) -> None:
    """No User-Agent raises an error."""
    browser_of(agent)


def properties_of(keys: dict[str, Any], **fields: Any) -> Any:
    (entry,) = Mapper(MixpanelConfig(token=Secret(TOKEN), **keys))(make_event(**fields))
    return entry.payload["properties"]


def test_events_from_browsers_have_it_and_others_not() -> None:
    """The User-Agent of an app names its HTTP library; the event's own values stay."""
    web = {"userAgent": CHROME}
    found = properties_of({}, context=web)
    assert (found["$browser"], found["$browser_version"]) == ("Chrome", "79.0")
    assert properties_of({}, context=web, properties={"$browser": "Own"})["$browser"] == "Own"
    for context in ({**web, "device": {"id": "d"}}, {"userAgent": 7}, {"userAgent": "x"}):
        assert "$browser" not in properties_of({}, context=context)
    for agent in ("Dalvik/2.1.0 (Linux; U; Android 14)", "python-requests/2.32", "okhttp/4.12.0"):
        assert "$browser" not in properties_of({}, context={"userAgent": agent})
    assert "$browser" not in properties_of({"browser": False}, context=web)


def test_texts_that_mixpanel_cuts_are_counted(tmp_path: Path) -> None:
    """The limit is in bytes, not characters."""
    context = make_context(tmp_path)
    mapper = Mapper(MixpanelConfig(token=Secret(TOKEN)), context.clock, context.count)
    mapper(make_event(properties={"a": "x" * 255, "b": "é" * 127, "c": 1, "d": ["x" * 300]}))
    assert context.counted == {}
    mapper(make_event(properties={"a": "x" * 256, "b": "é" * 128}))
    assert context.counted == {"values_cut": 2}
