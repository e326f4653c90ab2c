"""Which values of an event identify a person."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import make_event
from headgate_profiles.identifiers import Kinds, Reader, clean
from headgate_profiles.identifiers.kinds import IdentifierConfig

HASH = "713cfa3c6b6c7c6a194b56a65b8645777d82688dacd4385640c48303e293fc65"


def read(kinds: Kinds | None = None, /, **fields: Any) -> list[str]:
    """Returns the identifiers of an event, as texts."""
    reader = Reader(kinds or Kinds(), 20, 256)
    event = make_event(**{"user_id": None, **fields})
    return [str(one) for one in reader.identifiers(reader.raw(event))]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user_id": " Ada "}, ["user_id:Ada"]),
        ({"user_id": "u", "anonymous_id": "a"}, ["user_id:u", "anonymous_id:a"]),
        ({"type": "alias", "user_id": "u", "previous_id": "a"}, ["user_id:u", "anonymous_id:a"]),
        ({"previous_id": "a"}, []),
        ({"type": "identify", "traits": {"email": "Ada@Example.ORG "}}, ["email:ada@example.org"]),
        ({"type": "group", "traits": {"email": "team@example.org"}, "group_id": "g"}, []),
        ({"context": {"traits": {"email": "a@b.org"}}}, ["email:a@b.org"]),
        ({"context": {"traits": {"email": ["a@b.org"]}, "device": {"id": "D1"}}}, ["device_id:d1"]),
        ({"context": {"traits": "x", "device": {"id": "D1"}, "page": 3}}, ["device_id:d1"]),
        ({"type": "identify", "traits": {"phone": "0049 (0)30 / 12-34"}}, ["phone:+49301234"]),
        ({"type": "identify", "traits": {"phone": 4930123456}}, ["phone:4930123456"]),
        ({"type": "identify", "traits": {"phone": HASH, "email": f"2026.{HASH}"}}, [
            f"email:2026.{HASH}", f"phone:{HASH}",
        ]),
        ({"type": "identify", "traits": {"email": "j***@example.com", "phone": "***67"}}, []),
        ({"context": {"device": {"advertisingId": "00000000-0000-0000"}}}, []),
        ({"context": {"device": {"advertisingId": "AB", "adTrackingEnabled": False}}}, []),
        ({"context": {"device": {"advertisingId": "AB", "token": "t1"}}}, [
            "advertising_id:ab", "push_token:t1",
        ]),
        ({"context": {"externalIds": [
            {"id": "c1", "type": "crm_id", "collection": "users", "encoding": "none"},
            {"id": "c2", "type": "crm_id", "collection": "accounts", "encoding": "none"},
            {"id": "c3", "type": "Bad Type", "collection": "users", "encoding": "none"},
            {"id": 7, "type": "shop_id"}, "nothing",
        ]}}, ["crm_id:c1", "shop_id:7"]),
        ({"context": {"page": {"url": "https://x.example/?gclid=abc"}}}, []),
    ],
)  # fmt: skip
def test_what_is_read(fields: dict[str, Any], expected: list[str]) -> None:
    """Values are read where SDKs put them, in one spelling; a wrong type costs only itself."""
    assert read(**fields) == expected


@pytest.mark.parametrize(
    "value",
    ["null", "NULL", " undefined ", "anonymous", "Guest", "None", "NaN", "[object Object]", "test",
     "0", "-1", "00000000-0000-0000-0000-000000000000", "0-0", "distinct_id", "true", "id",
     "not_authenticated", "false", "blank", "email", "{}", "unknown"],
)  # fmt: skip
def test_placeholders_identify_nobody(value: str) -> None:
    """What PostHog, Segment and broken clients are known to send is refused, in any case."""
    assert read(user_id=value, anonymous_id=value.upper()) == []


def test_types_of_ones_own() -> None:
    """A type may have a path, and any type may be off or have more blocked values."""
    kinds = Kinds(
        {
            "crm_id": IdentifierConfig(path="properties.crm", priority=2),
            "anonymous_id": IdentifierConfig(blocked=("Kiosk-1",)),
            "email": IdentifierConfig(enabled=False),
            "click_id": IdentifierConfig(enabled=True),
        }
    )
    context = {
        "traits": {"email": "a@b.org"},
        "page": {"url": "https://x.example/?a=1&gclid=b%2Bc"},
    }
    fields = {"properties": {"crm": 12}, "context": context}
    assert read(kinds, anonymous_id="kiosk-1", **fields) == ["crm_id:12", "click_id:gclid:b+c"]


def test_identifiers_are_bounded() -> None:
    """A value that is too long, and identifiers beyond the bound, are refused and counted."""
    reader = Reader(Kinds(), 2, 40)
    many = [{"id": f"v{number}", "type": f"t{number}"} for number in range(5)]
    event = make_event(user_id="x" * 41, context={"externalIds": many})
    assert len(reader.identifiers(reader.raw(event))) == 2
    assert reader.refused == {"too_long": 1, "too_many": 3}


@given(st.sampled_from(["user_id", "email", "phone", "device_id"]), st.text(max_size=60))
def test_one_spelling_is_final(type_: str, text: str) -> None:
    """A cleaned value that is cleaned again stays the same, and SQLite can hold it."""
    value, why = clean(type_, text, Kinds(), 256)
    if why is None:
        value.encode()
        again, _ = clean(type_, value, Kinds(), 256)
        assert again == value
