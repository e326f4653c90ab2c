"""Chains of transforms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.errors import PluginError
from gateway.events.event import Event
from gateway.testing import make_event


class Step(Transform):
    """A transform made of a function."""

    def __init__(self, apply: Callable[[list[Event]], list[Event]]) -> None:
        self._apply = apply
        self.seen: list[int] = []

    def apply(self, events: list[Event]) -> list[Event]:
        self.seen.append(len(events))
        return self._apply(events)


class ReadOnly(Step):
    """A transform that declares that it changes nothing."""

    mutates = False


def numbered(n: int) -> list[Event]:
    return [make_event(user_id=str(i)) for i in range(n)]


def ids(events: list[Event]) -> list[str | None]:
    return [event.user_id for event in events]


def keep_if(test: Callable[[Event], bool]) -> Step:
    return Step(lambda events: [event for event in events if test(event)])


def appending(text: str, fails_on: str = "") -> Step:
    """Appends a text to each event's name, so that a repetition is visible."""

    def apply(events: list[Event]) -> list[Event]:
        for event in events:
            event.event = f"{event.event}{text}"
            if event.user_id == fails_on:
                raise ValueError(fails_on)
        return events

    return Step(apply)


def test_no_steps() -> None:
    """An empty chain is falsy, changes nothing and keeps all events."""
    chain = Chain()
    events = numbered(3)
    assert not chain
    assert not chain.mutates
    assert chain.run(events).kept == events


def test_steps_run_in_order_over_what_is_left() -> None:
    """Each step gets the events that the one before it kept, and its own drops count as its own."""
    odd = keep_if(lambda event: int(event.user_id or 0) % 2 == 1)
    low = keep_if(lambda event: int(event.user_id or 0) < 4)
    chain = Chain([("odd", odd), ("low", low)])
    outcome = chain.run(numbered(6))
    assert chain
    assert chain.ids == ("odd", "low")
    assert ids(outcome.kept) == ["1", "3"]
    assert {id_: ids(dropped) for id_, dropped in outcome.filtered.items()} == {
        "odd": ["0", "2", "4"],
        "low": ["5"],
    }
    assert outcome.failed == []
    assert (odd.seen, low.seen) == ([6], [3])


def test_what_is_left_empty_is_not_passed_on() -> None:
    """After a step that drops all events, later steps are not called."""
    last = keep_if(lambda _: True)
    events = numbered(2)
    outcome = Chain([("none", keep_if(lambda _: False)), ("last", last)]).run(events)
    assert (outcome.kept, outcome.filtered, last.seen) == ([], {"none": events}, [])


def test_a_transform_may_remove_from_the_list_it_is_given() -> None:
    """Events removed from the given list count as dropped, like those that are left out."""

    def apply(events: list[Event]) -> list[Event]:
        del events[0]
        return events

    events = numbered(3)
    outcome = Chain([("in_place", Step(apply))]).run(events)
    assert ids(outcome.kept) == ["1", "2"]
    assert outcome.filtered == {"in_place": events[:1]}
    assert len(events) == 3


def test_one_bad_event_costs_only_itself() -> None:
    """An event that a transform raises on is recorded with its error and does not go on."""
    last = keep_if(lambda _: True)
    outcome = Chain([("a", appending("!", fails_on="1")), ("b", last)]).run(numbered(3))
    assert ids(outcome.kept) == ["0", "2"]
    assert [(e.user_id, id_, type(error)) for e, id_, error in outcome.failed] == [
        ("1", "a", ValueError)
    ]
    assert outcome.filtered == {}
    assert last.seen == [2]


def test_after_a_failure_nothing_is_done_twice() -> None:
    """Changes made before a batch failed are made once in the end, as hashes must be."""
    steps = [("a", appending("1")), ("b", appending("2", fails_on="2")), ("c", appending("3"))]
    events = numbered(4)
    events[0].properties = {"n": 1}
    outcome = Chain(steps).run(events)
    assert [event.event for event in outcome.kept] == ["Order Completed123"] * 3
    assert outcome.kept[0] is events[0]
    assert events[0].properties == {"n": 1}


def test_a_list_that_was_emptied_before_a_failure_loses_nothing() -> None:
    """Events that a transform removed from the list before it raised are tried again too."""

    def apply(events: list[Event]) -> list[Event]:
        batch = list(events)
        events.clear()
        if len(batch) > 1:
            raise ValueError
        return batch

    outcome = Chain([("a", Step(apply))]).run(numbered(3))
    assert ids(outcome.kept) == ["0", "1", "2"]
    assert outcome.filtered == {}


@pytest.mark.parametrize(
    "apply",
    [
        lambda events: [*events, make_event()],
        lambda _: [make_event()],
        lambda events: [events[0].copy()],
        lambda events: [events[0], *events],
        lambda events: [events[0]] * len(events) if len(events) > 1 else [events[0]] * 2,
        lambda _: None,
        lambda events: events.append(make_event()) or events,
    ],
)
def test_events_come_from_what_was_given(apply: Callable[[list[Event]], list[Event]]) -> None:
    """A transform that invents, copies or doubles events breaks its contract: no event goes on."""
    outcome = Chain([("bad", Step(apply))]).run(numbered(2))
    assert outcome.kept == []
    assert len(outcome.failed) == 2
    assert all(isinstance(error, PluginError | TypeError) for _, _, error in outcome.failed)


def test_who_changed_an_event_is_known() -> None:
    """Each changed event is recorded under the step that changed it, and under no other."""
    events = numbered(3)
    shout, look = appending("!", fails_on="1"), keep_if(lambda event: event.properties is not None)
    outcome = Chain([("shout", shout), ("look", look)]).run(events)
    assert outcome.changed == {"shout": [events[0], events[2]]}


def test_a_chain_mutates_if_one_step_does() -> None:
    """A chain mutates if one step does; only then shared events are copied."""
    harmless = ReadOnly(lambda events: events)
    assert not Chain([("a", harmless)]).mutates
    assert Chain([("a", harmless), ("b", appending("!"))]).mutates


@given(
    st.lists(st.sampled_from(["keep", "drop", "fail"]), max_size=12),
    st.lists(st.sampled_from(["keep", "drop", "fail"]), max_size=12),
)
def test_every_event_has_one_outcome(first: list[str], second: list[str]) -> None:
    """Kept, filtered and failed events add up to all events, whatever each transform does."""

    def step(plan: list[str]) -> Step:
        def apply(events: list[Event]) -> list[Event]:
            kept = []
            for event in events:
                what = dict(enumerate(plan)).get(int(event.user_id or 0), "keep")
                if what == "fail":
                    raise ValueError
                if what == "keep":
                    kept.append(event)
            return kept

        return Step(apply)

    events = numbered(12)
    outcome = Chain([("first", step(first)), ("second", step(second))]).run(events)
    ended = len(outcome.kept) + sum(map(len, outcome.filtered.values())) + len(outcome.failed)
    assert ended == len(events)
    plans = [[*plan, *["keep"] * 12] for plan in (first, second)]
    expected = [str(i) for i in range(12) if all(plan[i] == "keep" for plan in plans)]
    assert ids(outcome.kept) == expected


class Copying(Transform):
    """Makes a copy of each event for another source; raises on some."""

    adds_to = ("copies",)

    def __init__(self, fails_on: str = "") -> None:
        self._fails_on = fails_on
        self._made: list[Event] = []

    def apply(self, events: list[Event]) -> list[Event]:
        self._made = []
        for event in events:
            if event.user_id == self._fails_on:
                raise ValueError(event.user_id)
            self._made.append(make_event(user_id=event.user_id, source_id="copies"))
        return events

    def produced(self) -> list[Event]:
        return self._made


def test_what_a_transform_makes_passes_through_none() -> None:
    """Events that a transform makes are returned beside the kept ones and pass no other step."""
    chain = Chain([("copy", Copying()), ("none", keep_if(lambda _: False)), ("more", Copying())])
    outcome = chain.run(numbered(2))
    assert outcome.kept == []
    assert ids(outcome.added) == ["0", "1"]
    assert chain.adds_to == (("copy", "copies"), ("more", "copies"))


def test_what_was_made_before_a_failure_is_not_made_twice() -> None:
    """When a failed batch is repeated one by one, only the events made then count."""
    outcome = Chain([("copy", Copying(fails_on="1"))]).run(numbered(3))
    assert ids(outcome.kept) == ids(outcome.added) == ["0", "2"]


def test_most_transforms_make_nothing() -> None:
    """A transform that does not say otherwise adds no event."""
    chain = Chain([("all", keep_if(lambda _: True))])
    assert chain.run(numbered(2)).added == []
    assert chain.adds_to == ()
