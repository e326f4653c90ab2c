"""Mapping of events to Amplitude."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway import Entry, Permanent, Secret
from gateway.testing import make_event
from headgate_amplitude import AmplitudeConfig
from headgate_amplitude.mapping import Mapper


def entries(config: dict[str, Any] | None = None, **event: Any) -> list[Entry]:
    keys = {"attribution": False, **(config or {})}
    return Mapper(AmplitudeConfig(api_key=Secret("key"), **keys))(make_event(**event))


def mapped(config: dict[str, Any] | None = None, **event: Any) -> dict[str, Any]:
    (entry,) = entries(config, **event)
    assert msgspec.json.encode(entry.payload)
    return entry.payload


def test_a_track_event() -> None:
    """A track event has name, ids, time in milliseconds, and properties."""
    assert mapped(
        message_id="m-1", anonymous_id="a-1", event="Clicked", properties={"color": "red"}
    ) == {
        "event_type": "Clicked",
        "insert_id": "m-1",
        "user_id": "user-1",
        "device_id": "a-1",
        "time": 1_795_442_400_000,
        "event_properties": {"color": "red"},
        "library": "headgate",
    }


@pytest.mark.parametrize("id_", ["anonymous", "NULL", "0", "-1", "undefined", " none "])
def test_ids_that_amplitude_refuses_are_left_out(id_: str) -> None:
    """An event with another id is sent; one without any is refused before it is sent."""
    assert "user_id" not in mapped(user_id=id_, anonymous_id="a-1")
    with pytest.raises(Permanent, match="neither"):
        mapped(user_id=id_)


def test_the_device_is_named_by_itself_unless_set_otherwise() -> None:
    """The device's own id comes first, and the anonymous id replaces it."""
    both = {"anonymous_id": "a-1", "context": {"device": {"id": "d-1"}}}
    assert mapped(**both)["device_id"] == "d-1"
    assert mapped({"device_id": "anonymous"}, **both)["device_id"] == "a-1"
    assert mapped(anonymous_id="a-1")["device_id"] == "a-1"


@pytest.mark.parametrize(
    ("event", "session"),
    [
        ({"context": {"sessionId": 1_700_000_000_000}}, 1_700_000_000_000),
        ({"extra": {"session_id": "prefix:1700000000000"}}, 1_700_000_000_000),
        ({"integrations": {"Actions Amplitude": {"session_id": 17}}}, 17),
        ({"context": {"sessionId": "none"}}, None),
        ({"context": {"sessionId": True}}, None),
    ],
)
def test_a_session_is_a_number_or_absent(event: dict[str, Any], session: int | None) -> None:
    """Each place of the session is read, and other values are ignored."""
    assert mapped(**event).get("session_id") == session


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"revenue": 20, "price": 10, "quantity": 2}, (20, 10, 2)),
        ({"revenue": "19.99"}, (19.99, None, None)),
        ({"revenue": 25, "price": 10, "quantity": 2}, (25, None, None)),
        ({"price": 10, "quantity": 2}, (20, 10, 2)),
        ({"revenue": "free"}, (None, None, None)),
        ({"revenue": "nan"}, (None, None, None)),
    ],
)
def test_revenue_is_what_the_event_says(
    properties: dict[str, Any], expected: tuple[float | None, ...]
) -> None:
    """Price and quantity, which Amplitude prefers, are sent only if they agree with the revenue."""
    payload = mapped(event="Order Completed", properties=properties)
    assert tuple(map(payload.get, ("revenue", "price", "quantity"))) == expected
    assert payload["event_properties"] == properties


def test_price_and_quantity_are_revenue_of_orders_only() -> None:
    """Products in a cart are not sold."""
    payload = mapped(event="Product Added", properties={"price": 10, "quantity": 2})
    assert "revenue" not in payload


def test_a_refund_counts_against_revenue() -> None:
    """A refund is negative, whatever the sign in the event."""
    for total in (30, -30):
        payload = mapped(event="Order Refunded", properties={"total": total})
        assert payload["revenue"] == -30
        assert payload["revenueType"] == "refund"


@pytest.mark.parametrize("products", ["keep", "copy", "move"])
@pytest.mark.parametrize("per_product", [False, True])
def test_revenue_is_never_counted_twice(products: str, per_product: bool) -> None:
    """Either the order or its products carry it."""
    if products == "keep" and per_product:
        pytest.skip("refused by the config")
    items = [{"price": 5, "quantity": 2}, {"price": "10"}]
    found = entries(
        {"products": products, "revenue_per_product": per_product},
        event="Order Completed",
        message_id="m",
        properties={"revenue": 20, "products": items},
    )
    counted = 0
    for _, _, payload in found:
        revenue = payload.get("price", 0) * payload.get("quantity", 1)
        counted += payload.get("revenue", revenue)
    assert counted == 20
    ids = [payload["insert_id"] for _, _, payload in found]
    assert ids == (["m"] if products == "keep" else ["m", "m-1", "m-2"])
    assert ("products" in found[0].payload["event_properties"]) == (products != "move")


def test_traits_are_set_by_identify_and_not_by_every_event() -> None:
    """Other events set traits only if config says so."""
    context = {"traits": {"plan": "pro"}}
    assert "user_properties" not in mapped(context=context)
    assert mapped({"traits_on_events": True}, context=context)["user_properties"] == {"plan": "pro"}
    payload = mapped(type="identify", traits={"plan": "pro", "city": "Ulm"})
    assert payload["event_type"] == "$identify"
    assert payload["user_properties"] == {"plan": "pro"}
    assert payload["city"] == "Ulm"


def test_operations_and_properties_are_not_mixed() -> None:
    """Amplitude takes one or the other."""
    payload = mapped(
        {"increment_traits": ["logins"], "set_once_traits": ["first"]},
        type="identify",
        traits={"logins": 1, "first": "x", "plan": "pro"},
        integrations={"Amplitude": {"fieldsToUnset": ["old"]}},
    )
    assert payload["user_properties"] == {
        "$add": {"logins": 1},
        "$setOnce": {"first": "x"},
        "$unset": {"old": "-"},
        "$set": {"plan": "pro"},
    }


def test_attribution() -> None:
    """The last visit sets properties, and the first visit sets others once."""
    context = {"campaign": {"name": "spring", "test": 1}, "page": {"referrer": "https://x.example"}}
    payload = mapped({"attribution": True}, context=context)
    last = {"utm_campaign": "spring", "referrer": "https://x.example"}
    first = {f"initial_{key}": value for key, value in last.items()}
    assert payload["user_properties"] == {"$set": last, "$setOnce": first}


@pytest.mark.parametrize(
    ("config", "event", "name"),
    [
        ({}, {"name": "Home"}, "Viewed Home Page"),
        ({}, {"category": "Docs"}, "Viewed Docs Page"),
        ({}, {}, "Viewed Page"),
        ({"page_name": "{{ category }}: {{path}}"}, {"properties": {"path": "/x"}}, ": /x"),
    ],
)
def test_names_of_pages(config: dict[str, Any], event: dict[str, Any], name: str) -> None:
    """The template makes the name; absent values leave no gap."""
    assert mapped(config, type="page", **{"event": None, **event})["event_type"] == name


def test_a_page_whose_name_would_be_empty_is_refused() -> None:
    """Amplitude refuses events without a type."""
    with pytest.raises(Permanent, match="empty name"):
        mapped({"page_name": "{{path}}"}, type="page", event=None)


def test_a_group_is_two_entries() -> None:
    """One joins the user to the group, the other describes the group."""
    found = entries({"group_type": "company"}, type="group", group_id="c-1", traits={"size": 5})
    assert [(entry.route, entry.part) for entry in found] == [
        ("events", ""),
        ("groupidentify", "group"),
    ]
    assert found[0].payload["groups"] == {"company": "c-1"}
    assert found[0].payload["user_properties"] == {"company": "c-1"}
    assert found[1].payload == {
        "group_type": "company",
        "group_value": "c-1",
        "group_properties": {"size": 5},
    }


def test_an_alias_is_sent_only_where_it_is_switched_on() -> None:
    """Sending an alias is off by default, as it joins users for good."""
    event = {"type": "alias", "previous_id": "old", "user_id": "new"}
    assert entries(**event) == []
    (entry,) = entries({"alias": True}, **event)
    assert entry == Entry("usermap", "", {"user_id": "old", "global_user_id": "new"})


def test_address_and_agent_can_be_kept_back() -> None:
    """Config can leave them out for privacy."""
    context = {"ip": "192.0.2.1", "userAgent": "Agent"}
    payload = mapped(context=context)
    assert (payload["ip"], payload["user_agent"]) == ("192.0.2.1", "Agent")
    kept_back = mapped({"send_ip": False, "send_user_agent": False}, context=context)
    assert not {"ip", "user_agent"} & kept_back.keys()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"api_key": ""}, "api_key: is empty"),
        ({"url": "ftp://x"}, "url: must be"),
        ({"page_name": " "}, "must not be empty"),
        ({"group_type_trait": "kind"}, "goes together"),
        ({"group_type": "a", "group_type_trait": "b", "group_value_trait": "c"}, "not both"),
        ({"revenue_per_product": True}, "needs products"),
    ],
)
def test_wrong_settings(keys: dict[str, Any], message: str) -> None:
    """Wrong settings are refused when config is read."""
    given = {"api_key": "key", **keys}
    with pytest.raises(ValueError, match=message):
        AmplitudeConfig(**{**given, "api_key": Secret(given["api_key"])})


def test_regions() -> None:
    """Each region has its own hosts."""
    us, eu = (AmplitudeConfig(api_key=Secret("k"), region=region) for region in ("us", "eu"))
    assert us.endpoint("/batch") == "https://api2.amplitude.com/batch"
    assert us.endpoint("/usermap") == "https://api.amplitude.com/usermap"
    assert eu.endpoint("/usermap") == "https://api.eu.amplitude.com/usermap"
