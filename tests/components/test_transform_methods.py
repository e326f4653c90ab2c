"""The optional methods of transforms."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import Raw

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.components.transform_methods import (
    ChangesClient,
    ChangesContext,
    KeepsByIds,
    PassesText,
    PerDestination,
    ProducesEvents,
    ReceivesEvents,
    SuspectsText,
    TransformMethods,
    for_destination,
)
from gateway.events.envelope.client import Client
from gateway.events.event import Event
from gateway.testing import make_event


class Core(Transform):
    """Has `apply` and nothing else."""

    def apply(self, events: list[Event]) -> list[Event]:
        return events


class Passing(Core):
    """Defines `passes` without inheriting a protocol."""

    def passes(self, text: bytes | memoryview) -> bool:
        return b"odd" not in bytes(text)


class Suspecting(Passing):
    """Finds the places too."""

    def suspects(self, text: bytes) -> list[int]:
        place = text.find(b"odd")
        return [place + 3] if place >= 0 else []


class Producing(Core):
    """Makes a copy of each event, for a source that it does not name."""

    def __init__(self) -> None:
        self._made: list[Event] = []

    def apply(self, events: list[Event]) -> list[Event]:
        self._made = [make_event(user_id=event.user_id, source_id="copies") for event in events]
        return events

    def produced(self) -> list[Event]:
        return self._made


class Everything(Core):
    """Defines all other optional methods."""

    def keeps(self, ids: Sequence[object]) -> list[bool]:
        return [False] * len(ids)

    def receive(self, events: Sequence[Event]) -> None:
        for event in events:
            event.message_id = "seen"

    def of_client(self, client: Client) -> Client:
        return Client()

    def for_destination(self, destination: str) -> Transform:
        return Passing()


def test_apply_alone_is_enough() -> None:
    """A transform without optional methods looks at all events and makes none."""
    methods = TransformMethods.of(Core())
    optional = (
        *(methods.passes, methods.suspects, methods.keeps),
        *(methods.receive, methods.of_client, methods.of_context, methods.produced),
    )
    assert optional == (None,) * 7
    assert methods.adds_to == ()
    chain = Chain([("core", Core())])
    client = Client(ip="10.0.0.1")
    assert not chain.passes(b"[]")
    assert chain.suspects(b"[]") is None
    assert chain.rules([make_event()]) is None
    assert chain.of_client(client) is client
    assert for_destination(core := Core(), "crm") is core


def test_a_method_counts_by_being_there() -> None:
    """A plugin that overrides a method need not inherit from its protocol."""
    chain = Chain([("all", Everything())])
    event = make_event()
    chain.receive([event])
    assert event.message_id == "seen"
    assert chain.rules([event]) == ["all"]
    assert chain.of_client(Client(ip="10.0.0.1")) == Client()
    assert isinstance(for_destination(Everything(), "crm"), Passing)


def test_one_that_says_what_passes_suspects_the_rest() -> None:
    """With `passes` alone, a text either has no suspicious place or cannot be judged."""
    chain = Chain([("passing", Passing())])
    assert (chain.passes(b"even"), chain.passes(b"odd")) == (True, False)
    assert chain.suspects(b"even") == set()
    assert chain.suspects(b"odd") is None


def test_places_are_those_of_all_transforms() -> None:
    """The places of all transforms add up; one that cannot judge decides for all."""
    both = [("a", Suspecting()), ("b", Suspecting())]
    assert Chain(both).suspects(b"an odd text") == {6}
    assert Chain([*both, ("c", Passing())]).suspects(b"an even text") == set()
    assert Chain([*both, ("c", Core())]).suspects(b"an even text") is None
    assert not Chain([*both, ("c", Core())]).passes(b"an even text")


class Lowering(Passing):
    """Changes a context, and passes any text that is of an even length."""

    def of_context(self, context: Raw) -> Raw | None:
        text = bytes(context)
        return None if b"LONG" in text else Raw(text.lower()) if text != text.lower() else context


def test_a_context_is_changed_by_each_transform_in_turn() -> None:
    """Of a changed context it is known which transforms changed it."""
    chain = Chain([("a", Lowering()), ("b", Lowering()), ("c", Passing())])
    assert chain.of_context(Raw(b'{"A":"EVEN"}')) == (Raw(b'{"a":"even"}'), ("a",))
    assert chain.of_context(Raw(b'{"a":"even"}')) == (Raw(b'{"a":"even"}'), ())


def test_whole_events_are_needed_where_one_transform_says_so() -> None:
    """A context cannot be changed alone by a transform that has to see its events."""
    assert Chain([("a", Lowering())]).of_context(Raw(b'"LONG"')) is None
    assert Chain([("a", Lowering()), ("b", Core())]).of_context(Raw(b'"even"')) is None
    assert Chain([("a", Passing())]).of_context(Raw(b'"odd"')) is None


def test_one_may_make_events_without_naming_their_sources() -> None:
    """`adds_to` is empty unless a transform sets it."""
    chain = Chain([("copy", Producing())])
    assert [event.user_id for event in chain.run([make_event(user_id="7")]).added] == ["7"]
    assert chain.adds_to == ()


def test_methods_are_bound_once() -> None:
    """A chain looks up a transform's methods when it is built, and never again."""
    transform = Passing()
    chain = Chain([("passing", transform)])
    del Passing.passes
    try:
        assert chain.passes(b"even")
    finally:
        Passing.passes = PASSES  # type: ignore[method-assign]


PASSES = Passing.passes


@pytest.mark.parametrize(
    "protocol",
    [
        *(PassesText, SuspectsText, KeepsByIds, ReceivesEvents),
        *(ChangesClient, ChangesContext, ProducesEvents, PerDestination),
    ],
)
def test_who_inherits_a_protocol_defines_its_method(protocol: type) -> None:
    """A class that inherits a protocol without its method cannot be built."""

    class Forgetful(Core, protocol):  # type: ignore[misc]
        pass

    with pytest.raises(TypeError, match="abstract"):
        Forgetful()
