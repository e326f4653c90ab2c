"""Mapping of events to Mixpanel."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway import Entry, Permanent, Secret
from gateway.testing import make_event
from headgate_mixpanel import MixpanelConfig
from headgate_mixpanel.mapping import Mapper

NOW_MS = 1_795_442_400_000
RECEIVED_MS = NOW_MS + 100


def entries(config: dict[str, Any] | None = None, **event: Any) -> list[Entry]:
    found = Mapper(MixpanelConfig(token=Secret("token"), **(config or {})))(make_event(**event))
    assert msgspec.json.encode([entry.payload for entry in found])
    return found


def properties(config: dict[str, Any] | None = None, **event: Any) -> dict[str, Any]:
    (entry,) = entries(config, **event)
    assert entry.route == "import"
    found: dict[str, Any] = entry.payload["properties"]
    return found


def test_a_track_event() -> None:
    """A track event has name, ids, time in milliseconds, properties and no gateway address."""
    (entry,) = entries(
        message_id="m-1", anonymous_id="a-1", event="Clicked", properties={"color": "red"}
    )
    assert entry.payload == {
        "event": "Clicked",
        "properties": {
            "color": "red",
            "ip": "0",
            "distinct_id": "user-1",
            "$user_id": "user-1",
            "$device_id": "a-1",
            "time": NOW_MS,
            "$insert_id": "m-1",
        },
    }


@pytest.mark.parametrize(
    ("identity", "ids", "distinct_id"),
    [
        ("simplified", {"user_id": "u", "anonymous_id": "a"}, "u"),
        ("simplified", {"user_id": None, "anonymous_id": "a"}, "$device:a"),
        ("original", {"user_id": None, "anonymous_id": "a"}, "a"),
        ("original", {"user_id": "u", "anonymous_id": "a"}, "u"),
        ("simplified", {"user_id": "undefined", "anonymous_id": "a"}, "$device:a"),
        ("simplified", {"user_id": "null", "anonymous_id": None}, ""),
    ],
)
def test_who_an_event_is_of(identity: str, ids: dict[str, Any], distinct_id: str) -> None:
    """The project's way of joining ids decides; placeholders are ignored."""
    assert properties({"identity": identity}, **ids)["distinct_id"] == distinct_id


@pytest.mark.parametrize("id_", ["x" * 37, "with space", "ümlaut", "\ud800", "a_b"])
def test_message_ids_that_mixpanel_does_not_take_are_hashed(id_: str) -> None:
    """The hash is the same each time, so a retry counts once."""
    first, again = (properties(message_id=id_)["$insert_id"] for _ in range(2))
    assert first == again
    assert len(first) == 36
    assert first != properties(message_id=id_ + "x")["$insert_id"]


def test_times_in_the_future_are_the_time_of_receiving() -> None:
    """Mixpanel refuses times more than an hour ahead; past times stay."""
    assert properties(timestamp="2026-11-23T15:00:00.000Z")["time"] == NOW_MS + 3_600_000
    assert properties(timestamp="2026-11-23T15:00:01.000Z")["time"] == RECEIVED_MS
    assert properties(timestamp="1999-01-01T00:00:00.000Z")["time"] == 915_148_800_000
    assert properties(timestamp=None, original_timestamp=None)["time"] == RECEIVED_MS


def test_context_and_campaign() -> None:
    """Context and campaign get Mixpanel's names; empty values are left out."""
    found = properties(
        context={
            "ip": "192.0.2.1",
            "os": {"name": "", "version": "17"},
            "page": {"url": "https://shop.example/", "referrer": None},
            "app": "not an object",
            "campaign": {"name": "spring", "source": "mail", "test": "x"},
        }
    )
    assert found["ip"] == "192.0.2.1"
    assert found["$os_version"] == "17"
    assert found["$current_url"] == "https://shop.example/"
    assert found["utm_campaign"] == "spring"
    assert found["utm_source"] == "mail"
    assert not {"$os", "$referrer", "utm_test"} & found.keys()
    assert properties({"send_ip": False}, context={"ip": "192.0.2.1"})["ip"] == "0"


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"type": "page", "name": "Home"}, "Viewed Home Page"),
        ({"type": "page"}, "Viewed Page"),
        ({"type": "screen", "category": "Docs"}, "Viewed Docs Screen"),
    ],
)
def test_names_of_pages(event: dict[str, Any], name: str) -> None:
    """The template makes the name."""
    (entry,) = entries(**{"event": None, **event})
    assert entry.payload["event"] == name


def test_identify_sets_the_profile() -> None:
    """Traits get Mixpanel's names, and each operation is an update."""
    found = entries(
        {
            "set_once_traits": ["first"],
            "union_traits": ["tags"],
            "append_traits": ["log"],
            "increment_traits": ["logins"],
        },
        type="identify",
        traits={
            "firstName": "Ada",
            "lastName": "L",
            "first": 1,
            "tags": "x",
            "log": "y",
            "logins": "2",
            "address": {"city": "Ulm"},
        },
    )
    assert [(entry.route, entry.part) for entry in found] == [
        ("engage", "$set_once"),
        ("engage", "$union"),
        ("engage-once", "$append"),
        ("engage-once", "$add"),
        ("engage", "$set"),
    ]
    updates = {entry.part: entry.payload[entry.part] for entry in found}
    assert updates == {
        "$set_once": {"first": 1},
        "$union": {"tags": ["x"]},
        "$append": {"log": "y"},
        "$add": {"logins": 2},
        "$set": {"$city": "Ulm", "$first_name": "Ada", "$last_name": "L", "$name": "Ada L"},
    }
    for entry in found:
        assert entry.payload["$token"] == "token"
        assert entry.payload["$distinct_id"] == "user-1"


def test_ids_are_joined_by_an_event_only_in_the_original_way() -> None:
    """An event joins them only if there are two."""
    both = {"type": "identify", "anonymous_id": "a", "traits": {"plan": "pro"}}
    assert [entry.part for entry in entries(**both)] == ["$set"]
    joined = entries({"identity": "original"}, **both)[-1].payload
    assert joined["event"] == "$identify"
    assert joined["properties"]["$identified_id"] == "user-1"
    assert joined["properties"]["$anon_id"] == "a"
    alone = {**both, "anonymous_id": None}
    assert [entry.part for entry in entries({"identity": "original"}, **alone)] == ["$set"]


def test_a_group_is_a_member_and_a_profile() -> None:
    """groupId is a value of the first key."""
    found = entries(
        {"group_keys": ["company", "team"]},
        type="group",
        group_id="c-1",
        traits={"team": ["t1", "t2"], "size": 5},
    )
    assert [entry.part for entry in found] == [
        "member company",
        "group company c-1",
        "member team",
        "group team t1",
        "group team t2",
    ]
    assert found[0].payload["$set"] == {"company": ["c-1"]}
    assert found[1].payload["$group_id"] == "c-1"
    track = properties({"group_keys": ["company"]}, context={"groupId": "c-1"})
    assert track["company"] == ["c-1"]


def test_the_group_id_wins_over_a_trait_of_that_name() -> None:
    """The trait is often the group's name, which would make another group."""
    config = {"group_keys": ["company"], "traits_on_events": True}
    event = {"group_id": "c-1", "traits": {"company": "Acme"}}
    member, group = entries(config, type="group", **event)
    assert member.payload["$set"] == {"company": ["c-1"]}
    assert group.payload["$group_id"] == "c-1"
    assert group.payload["$set"] == {"company": "Acme"}
    context = {"groupId": "c-1", "traits": {"company": "Acme"}}
    assert properties(config, context=context)["company"] == ["c-1"]
    own = properties(config, context=context, properties={"company": "c-2"})
    assert own["company"] == "c-2"


@pytest.mark.parametrize("type_", ["track", "page", "screen"])
def test_properties_add_to_the_profile(type_: str) -> None:
    """Numbers do so by an update of its own that is never applied twice, and stay on the event."""
    config = {"increment_properties": ["points", "text", "absent"]}
    given = {"points": "5", "text": "many", "other": 1}
    sent, update = entries(config, type=type_, name="Home", properties=given, anonymous_id="a")
    assert sent.payload["properties"].items() >= given.items()
    assert (update.route, update.part) == ("engage-once", "$add")
    assert update.payload["$add"] == {"points": 5}
    assert update.payload["$distinct_id"] == "user-1"


def test_nothing_is_added_for_nobody() -> None:
    """An event without a number, or without a user, is an event alone."""
    config = {"increment_properties": ["points"]}
    assert len(entries(config, properties={"points": None})) == 1
    assert len(entries(config, properties={"points": 5}, user_id=None)) == 1


@pytest.mark.parametrize(
    ("config", "event"),
    [
        ({}, {"event": None}),
        ({}, {"type": "group", "group_id": "g"}),
        ({"group_keys": ["k"]}, {"type": "group"}),
        ({}, {"type": "alias", "previous_id": "p"}),
        ({"identity": "original"}, {"type": "alias", "previous_id": "user-1"}),
        ({}, {"type": "identify", "user_id": None}),
        ({}, {"timestamp": None, "original_timestamp": None, "received_at": None}),
        ({"page_name": "{{path}}"}, {"type": "page", "event": None}),
    ],
)
def test_what_mixpanel_would_not_take(config: dict[str, Any], event: dict[str, Any]) -> None:
    """An event that Mixpanel would not accept is refused before it is sent, with the reason."""
    with pytest.raises(Permanent, match=r"\w"):
        entries(config, **event)


def test_push_tokens_go_to_the_profile() -> None:
    """The system of the device selects the property."""
    for system, key in (("iOS", "$ios_devices"), ("Android", "$android_devices")):
        context = {"os": {"name": system}, "device": {"token": "t"}}
        (entry,) = entries(type="identify", context=context)
        assert entry.payload["$set"][key] == ["t"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"token": ""}, "token: is empty"),
        ({"url": "mixpanel.com"}, "url: must be"),
        ({"screen_name": ""}, "must not be empty"),
        ({"service_account": "a"}, "service_account: give"),
        ({"project_id": "1"}, "service_account: give"),
    ],
)
def test_wrong_settings(keys: dict[str, Any], message: str) -> None:
    """Wrong settings are refused when config is read."""
    given = {"token": "token", **keys}
    with pytest.raises(ValueError, match=message):
        MixpanelConfig(**{**given, "token": Secret(given["token"])})


def test_regions() -> None:
    """Each region has its own host."""
    hosts = [
        MixpanelConfig(token=Secret("t"), region=region).endpoint("/import")
        for region in ("us", "eu", "in")
    ]
    assert hosts == [
        "https://api.mixpanel.com/import",
        "https://api-eu.mixpanel.com/import",
        "https://api-in.mixpanel.com/import",
    ]
