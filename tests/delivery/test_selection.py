"""Selection of events by their ids, without decoding the events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.builtin.transforms.filter import Filter, FilterConfig
from gateway.builtin.transforms.sample import Sample, SampleConfig
from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.delivery.selection import Outgoing, Selection, SelectionContext
from gateway.events.envelope.sealed import Origin, Run, Sealed, seal
from gateway.events.event import Event
from gateway.state.live_tail import LiveTail
from gateway.testing import START_MS, make_event

NUMBER = 60


def sealed(first: int) -> Sealed:
    events = [
        {
            "type": "track",
            "event": "Viewed",
            "messageId": f"m-{n}",
            "userId": f"u-{n % 20}",
            "properties": {"n": n},
        }
        for n in range(first, first + NUMBER)
    ]
    array = json.dumps(events).encode()
    return seal(Origin("web", START_MS), array, NUMBER, addressed=False)[0]


async def sifted(
    run: Run | list[Event], *steps: Transform, live_tail: LiveTail | None = None
) -> Outgoing:
    chain = Chain([(f"t{number}", step) for number, step in enumerate(steps)])
    selection = Selection(
        SelectionContext(
            chain, name="x", storage=False, clock=lambda: START_MS, id="x", live_tail=live_tail
        )
    )
    outgoing = Outgoing(0)
    await selection.sort(run, range(100, 100 + len(run)), outgoing)
    return outgoing


SAMPLES = (
    Sample(SampleConfig(percent=50), "one"),
    Sample(SampleConfig(percent=50, by="event", invert=True), "two"),
)


@pytest.mark.parametrize("steps", [SAMPLES[:1], SAMPLES])
async def test_a_sample_does_not_make_events(steps: tuple[Transform, ...]) -> None:
    """A sample chooses the same events under the same rules, and decodes none."""
    parts = [sealed(0), sealed(NUMBER)]
    single = make_event(user_id="u-3")
    run = Run(parts[:1])
    run.append([single], addressed=False)
    run.append(parts[1])
    lazy = await sifted(run, *steps)
    made = await sifted([*sealed(0), single, *sealed(NUMBER)], *steps)

    assert lazy.offsets == made.offsets
    assert lazy.filtered == made.filtered
    assert len(lazy.filtered) == len(steps)
    assert len(lazy.events) == len(lazy.offsets) < 2 * NUMBER
    assert not any(part._events for part in parts)
    assert [e.properties for e in lazy.events] == [e.properties for e in made.events]
    assert lazy.events[0] in list(parts[0])


async def test_one_that_looks_at_events_has_them_made() -> None:
    """If one transform needs events, the whole chain runs over events."""
    keep = Filter(FilterConfig(keep="properties.n < 7"))
    outgoing = await sifted(Run([sealed(0)]), SAMPLES[0], keep)
    assert set(outgoing.filtered) == {"t0", "t1"}
    assert all(event.properties["n"] < 7 for event in outgoing.events)


async def test_what_is_kept_back_is_published() -> None:
    """Watchers see each event that a sample drops."""
    shown: list[tuple[str, str, int]] = []

    class Watched(LiveTail):
        def __bool__(self) -> bool:
            return True

        def publish(self, time_ms: int, outcome: str, items: Any, **said: str) -> None:
            shown.append((outcome, said["detail"], len(items)))

    outgoing = await sifted(Run([sealed(0)]), SAMPLES[0], live_tail=Watched())
    assert shown == [("filtered", "t0", len(outgoing.filtered["t0"]))]
