"""Mapping of events to Google Analytics 4."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Permanent, Secret
from gateway.testing import START_MS, make_event
from headgate_ga4 import Ga4Config
from headgate_ga4.mapping import Entry, Mapper
from headgate_ga4.rules import event_name, flattened, user_properties

WEB = {"measurement_id": "G-1"}
APP = {"firebase_app_id": "1:2:android:3"}


def entry(config: dict[str, Any] | None = None, **event: Any) -> Entry:
    keys = {**WEB, **(config or {})} if "firebase_app_id" not in (config or {}) else config
    mapper = Mapper(Ga4Config(api_secret=Secret("secret"), **(keys or {})), lambda: START_MS)
    found = mapper(make_event(**{"anonymous_id": "a-1", "event": "Tested", **event}))
    assert found is not None
    assert msgspec.json.encode(found)
    return found


def google_takes(name: str) -> bool:
    letters = all(sign.isalnum() or sign == "_" for sign in name)
    own = ("_", "firebase_", "ga_", "google_", "gtag.")
    return letters and name[0].isalpha() and len(name) <= 40 and not name.startswith(own)


def params(config: dict[str, Any] | None = None, **event: Any) -> dict[str, Any]:
    found: dict[str, Any] = entry(config, **event).event["params"]
    return found


def test_a_track_event() -> None:
    """A track event has its client, user, time in microseconds, and properties."""
    assert entry(event="Plan chosen", properties={"plan": "pro"}) == (
        {"client_id": "a-1", "user_id": "user-1"},
        {
            "name": "Plan_chosen",
            "timestamp_micros": START_MS * 1000,
            "params": {"engagement_time_msec": 1, "plan": "pro"},
        },
    )


def test_the_client_is_googles_own_id_where_it_is_given() -> None:
    """Else it is the anonymous id, and the user id only if there is no other."""
    external = {"externalId": [{"type": "ga4ClientId", "id": "c-1"}, "no object"]}
    assert entry(context=external).sender["client_id"] == "c-1"
    own = {"Google Analytics 4": {"clientId": "c-2"}}
    assert entry(context=external, integrations=own).sender["client_id"] == "c-2"
    assert entry(anonymous_id=None).sender["client_id"] == "user-1"
    with pytest.raises(Permanent, match="neither"):
        entry(anonymous_id=None, user_id=None)


def test_an_app_needs_the_id_of_its_instance() -> None:
    """Only Google's SDK can make that id."""
    with pytest.raises(Permanent, match="app instance id"):
        entry(APP)
    context = {"externalId": [{"type": "ga4AppInstanceId", "id": "i-1"}]}
    assert entry(APP, context=context).sender == {"app_instance_id": "i-1", "user_id": "user-1"}


@pytest.mark.parametrize("name", ["Order Completed", "order completed", "order_completed"])
def test_an_order_is_a_purchase(name: str) -> None:
    """Every spelling of the name counts."""
    found = entry(
        event=name,
        properties={
            "order_id": "o-1",
            "revenue": "20",
            "total": 30,
            "tax": 3,
            "currency": "eur",
            "products": [{"product_id": "p-1", "price": "10", "quantity": 2}, {"sku": "no id"}],
        },
    ).event
    assert found["name"] == "purchase"
    assert found["params"] == {
        "engagement_time_msec": 1,
        "transaction_id": "o-1",
        "tax": 3,
        "value": 20,
        "currency": "EUR",
        "items": [{"item_id": "p-1", "price": 10, "quantity": 2}],
        "total": 30,
    }


def test_a_purchase_without_an_order_id_is_refused() -> None:
    """Google could not recognise its repetition."""
    with pytest.raises(Permanent, match="transaction_id"):
        entry(event="Order Completed", properties={"revenue": 1})


def test_a_value_needs_a_currency() -> None:
    """Google ignores a value without a currency; config can set a default."""
    event = {"event": "Cart Viewed", "properties": {"value": 5, "currency": "euros"}}
    assert "currency" not in params(**event)
    found = params({"default_currency": "EUR"}, **event)
    assert (found["value"], found["currency"]) == (5, "EUR")


def test_the_total_can_be_preferred() -> None:
    """Config can do so to agree with another tool's reports."""
    event = {
        "event": "Order Completed",
        "properties": {"order_id": "o", "revenue": 20, "total": 30, "currency": "EUR"},
    }
    assert params(**event)["value"] == 20
    assert params({"prefer_total": True}, **event)["value"] == 30


@pytest.mark.parametrize(
    ("hours", "taken"), [(-72, True), (-72.1, False), (0.25, True), (0.3, False)]
)
def test_events_that_google_would_count_at_another_time_are_refused(
    hours: float, taken: bool
) -> None:
    """Beyond 72 hours it does so silently."""
    time = {"timestamp": str(int(START_MS + hours * 3_600_000))}
    if taken:
        assert entry(**time)
    else:
        with pytest.raises(Permanent, match="Google would count it"):
            entry(**time)


def test_milliseconds_are_kept() -> None:
    """The time in microseconds keeps the milliseconds of the event."""
    micros = entry(timestamp="2026-11-23T13:59:59.123Z").event["timestamp_micros"]
    assert micros % 1_000_000 == 123_000


def test_at_most_25_parameters_and_googles_own_first() -> None:
    """Further parameters are left out."""
    many = {f"p{i}": i for i in range(50)}
    found = params(event="Cart Viewed", properties={**many, "value": 1, "currency": "EUR"})
    assert len(found) == 25
    assert found["value"] == 1


def test_values_are_cut_at_googles_lengths() -> None:
    """Values about the page can be longer."""
    context = {"page": {"url": "u" * 2000, "title": "t" * 2000}}
    found = params(type="page", event=None, properties={"text": "x" * 500}, context=context)
    assert [len(found[key]) for key in ("page_location", "page_title", "text")] == [1000, 300, 100]


def test_sessions() -> None:
    """A session is a positive number from any of its places."""
    assert params(context={"sessionId": 17})["session_id"] == 17
    assert params(properties={"session_id": "18"})["session_id"] == "18"
    assert "session_id" not in params(properties={"session_id": "none"})


def test_consent_and_ads() -> None:
    """Known consent is sent, and personalised ads are off if the device limits tracking."""
    consents = {"ad_user_data": "GRANTED", "ad_personalization": "maybe"}
    for name in ("Google Analytics 4", "Google Analytics 4 (GA4)"):
        sender = entry(integrations={name: {"consents": consents}}).sender
        assert sender["consent"] == {"ad_user_data": "GRANTED"}
    for tracking, limited in ((True, False), ("true", False), (False, True), ("0", True)):
        context = {"device": {"adTrackingEnabled": tracking}}
        assert entry(context=context).sender["non_personalized_ads"] is limited


def test_address_and_agent_are_kept_back_unless_asked_for() -> None:
    """Address and user agent are off by default, for privacy."""
    context = {"ip": "192.0.2.1", "userAgent": "Agent"}
    assert not {"ip_override", "user_agent"} & entry(context=context).sender.keys()
    sender = entry({"send_ip": True, "send_user_agent": True}, context=context).sender
    assert (sender["ip_override"], sender["user_agent"]) == ("192.0.2.1", "Agent")


@pytest.mark.parametrize("type_", ["identify", "alias", "screen"])
def test_types_that_google_has_nothing_for(type_: str) -> None:
    """Events of types that Google does not have are neither sent nor failed."""
    mapper = Mapper(Ga4Config(api_secret=Secret("s"), **WEB), lambda: START_MS)  # type: ignore[arg-type]
    assert mapper(make_event(type=type_, anonymous_id="a")) is None


def test_screens_of_apps_and_groups() -> None:
    """Screens and groups have events of their own."""
    context = {"externalId": [{"type": "ga4AppInstanceId", "id": "i-1"}]}
    found = entry(APP, type="screen", event=None, name="Home", context=context).event
    assert found["name"] == "screen_view"
    assert found["params"]["screen_name"] == "Home"
    assert params(type="group", group_id="g-1")["group_id"] == "g-1"


@pytest.mark.parametrize("name", ["session_start", "firebase_x", "_x", "screen_view", "error"])
def test_reserved_names(name: str) -> None:
    """Events with reserved names are refused, as Google would drop them."""
    with pytest.raises(Permanent, match="Google"):
        event_name(name, app=False)


@given(st.text(max_size=80))
def test_every_other_name_becomes_one_that_google_takes(name: str) -> None:
    """A name becomes letters, digits and underscores, a letter first, at most 40 characters."""
    try:
        made = event_name(name, app=False)
    except Permanent:
        return
    assert google_takes(made)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), _JSON, max_size=30))
def test_whatever_the_properties_are_google_takes_the_event(properties: dict[str, Any]) -> None:
    """For any properties, names, lengths and numbers are within Google's limits."""
    found = params(event="Cart Viewed", properties=properties)
    assert len(found) <= 25
    for key, value in found.items():
        assert google_takes(key)
        assert isinstance(value, str | int | float | bool | list)
        assert not isinstance(value, str) or len(value) <= 1000
    assert all(isinstance(value, str | int | float) for _, value in flattened(properties))
    assert len(user_properties(properties)) <= 25


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"api_secret": "", **WEB}, "api_secret: is empty"),
        ({}, "either"),
        ({**WEB, **APP}, "either"),
        ({**WEB, "default_currency": "euro"}, "three letters"),
        ({**WEB, "url": "x"}, "url: must be"),
    ],
)
def test_wrong_settings(keys: dict[str, Any], message: str) -> None:
    """Wrong settings are refused when config is read."""
    given_keys = {"api_secret": "s", **keys}
    with pytest.raises(ValueError, match=message):
        Ga4Config(**{**given_keys, "api_secret": Secret(given_keys["api_secret"])})
