"""Segment's rules for events, with Segment's discard codes."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.events.envelope.normalise import Discarded, normalise
from gateway.events.envelope.validate import MAX_MESSAGE_ID, MAX_PROPERTIES, validate
from gateway.events.event import EMPTY, EVENT_TYPES, Event
from tests.support.values import json_values

CONSENT = "Segment Consent Preference Updated"
BLANK = ["", " ", "\t\n", "\u2003"]
VALID: dict[str, dict[str, Any]] = {
    "track": {"event": "e", "userId": "u"},
    "identify": {"userId": "u"},
    "page": {"anonymousId": "a"},
    "screen": {"anonymousId": "a"},
    "group": {"userId": "u", "groupId": "g"},
    "alias": {"userId": "u", "previousId": "p"},
}


def checked(kind: str, **fields: Any) -> tuple[str | None, Event]:
    """Returns code and event for a client's fields; None removes a field."""
    sent = {"type": kind, **VALID.get(kind, {}), **fields}
    event = normalise({key: Raw(json.dumps(value).encode()) for key, value in sent.items()})
    return validate(event), event


def code_of(kind: str, **fields: Any) -> str | None:
    return checked(kind, **fields)[0]


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_the_least_that_each_type_needs(kind: str) -> None:
    """An event with the required fields and nothing else is accepted."""
    assert code_of(kind) is None


@pytest.mark.parametrize("kind", ["", "foo", "Track", "track ", "batch"])
def test_case_26_unknown_types(kind: str) -> None:
    """Events have one of six types, in lower case."""
    assert code_of(kind, userId="u") == "invalid_type"


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES - {"alias"}))
@pytest.mark.parametrize("blank", [*BLANK, None])
def test_case_29_blank_ids_are_absent(kind: str, blank: str | None) -> None:
    """Blank ids are removed, and at least one of the two ids is required."""
    assert code_of(kind, userId=blank, anonymousId=blank) == "no_user_anon_id"
    code, event = checked(kind, userId=blank, anonymousId="a")
    assert (code, event.user_id, event.anonymous_id) == (None, None, "a")
    code, event = checked(kind, userId="u", anonymousId=blank)
    assert (code, event.user_id, event.anonymous_id) == (None, "u", None)


@pytest.mark.parametrize("blank", [*BLANK, None])
def test_case_26_a_track_event_has_a_name(blank: str | None) -> None:
    """A track event without a name is discarded."""
    assert code_of("track", event=blank) == "event_not_defined"


@pytest.mark.parametrize("kind", ["page", "screen"])
@pytest.mark.parametrize("key", ["name", "category"])
def test_case_30_names_of_pages(kind: str, key: str) -> None:
    """Name and category of a page may be absent, null or blank, which is the same."""
    for none in (None, *BLANK):
        code, event = checked(kind, **{key: none})
        assert (code, event.name, event.category) == (None, None, None)
    code, event = checked(kind, **{key: "Home"})
    assert (code, {event.name, event.category}) == (None, {"Home", None})


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
@pytest.mark.parametrize("value", ["x", 1, True, [], [{}]])
def test_case_27_bodies_are_objects(kind: str, value: Any) -> None:
    """The body of the event's type must be an object; another body that is not is dropped."""
    has_properties = kind in ("track", "page", "screen")
    has_traits = kind in ("identify", "group")
    assert code_of(kind, properties=value) == ("properties_not_object" if has_properties else None)
    assert code_of(kind, traits=value) == ("traits_not_object" if has_traits else None)
    _, event = checked(kind, **{"traits" if has_properties else "properties": value})
    assert (event.raw_traits, event.raw_properties) == (EMPTY, EMPTY)


@pytest.mark.parametrize("key", ["properties", "traits", "context", "integrations", "_metadata"])
def test_a_body_of_null_is_absent(key: str) -> None:
    """A body of null counts as absent, without a note."""
    for kind in sorted(EVENT_TYPES):
        code, event = checked(kind, **{key: None})
        assert code is None
        assert key not in event.to_dict()
        assert event.raw_notes is EMPTY


@pytest.mark.parametrize("key", ["context", "integrations", "_metadata"])
@pytest.mark.parametrize("value", ["x", 1, False, []])
def test_a_context_that_is_no_object_is_dropped(key: str, value: Any) -> None:
    """A context that is no object is dropped with a note."""
    code, event = checked("track", **{key: value})
    assert code is None
    assert key not in event.to_dict()
    assert event.notes.notes == (f"{key.removeprefix('_')}_not_object",)


@pytest.mark.parametrize("blank", [*BLANK, None])
def test_a_group_has_an_id(blank: str | None) -> None:
    """A group event without a group id is discarded."""
    assert code_of("group", groupId=blank) == "id_required"


def test_case_31_alias() -> None:
    """An alias needs a userId; a missing previousId is filled with the anonymousId."""
    assert code_of("alias", userId=None) == "id_required"
    assert code_of("alias", userId=None, anonymousId="a") == "id_required"
    assert code_of("alias", previousId=None) == "id_required"
    code, event = checked("alias", previousId=" ", anonymousId="a")
    assert (code, event.previous_id, event.anonymous_id) == (None, "a", "a")
    code, event = checked("alias", anonymousId="a")
    assert (code, event.previous_id) == (None, "p")


@pytest.mark.parametrize("kind", ["identify", "group"])
def test_case_32_traits_in_the_context(kind: str) -> None:
    """Traits of the context are copied if the event has none, and stay in the context."""
    context = {"traits": {"plan": "pro"}, "locale": "de"}
    code, event = checked(kind, context=context)
    assert (code, event.traits, event.context) == (None, {"plan": "pro"}, context)
    assert checked(kind, context=context, traits={"own": 1})[1].traits == {"own": 1}
    assert checked(kind, context=context, traits={})[1].traits == {}
    assert checked(kind, context={"traits": "x"})[1].traits == {}
    assert checked("track", context=context)[1].traits == {}


@pytest.mark.parametrize(
    ("consent", "code"),
    [
        (None, "consent_categorypreferences_should_exist"),
        ("x", "consent_categorypreferences_should_exist"),
        ({}, "consent_categorypreferences_should_exist"),
        ({"categoryPreferences": None}, "consent_categorypreferences_should_exist"),
        ({"categoryPreferences": []}, "consent_categorypreferences_fields_should_be_object"),
        ({"categoryPreferences": {"A": 1}}, "consent_categorypreferences_fields_should_be_bool"),
        ({"categoryPreferences": {}, "version": "2"}, "consent_version_should_be_number"),
        ({"categoryPreferences": {}, "version": True}, "consent_version_should_be_number"),
        ({"categoryPreferences": {"A": True, "B": False}, "version": 2}, None),
        ({"categoryPreferences": {}}, None),
    ],
)
def test_consent_codes(consent: Any, code: str | None) -> None:
    """Only the event that reports consent is checked for consent data."""
    assert code_of("track", event=CONSENT, context={"consent": consent}) == code
    assert code_of("track", event="Other", context={"consent": consent}) is None


def test_consent_without_a_context() -> None:
    """An event that reports consent must have a context."""
    assert code_of("track", event=CONSENT) == "consent_categorypreferences_should_exist"


@pytest.mark.parametrize("sent", [None, *BLANK])
def test_case_01_an_id_is_made_where_there_is_none(sent: str | None) -> None:
    """Each event without a message id gets a random UUID."""
    made = {checked("track", messageId=sent)[1].message_id for _ in range(10)}
    assert len(made) == 10
    assert {uuid.UUID(text).version for text in made} == {4}


@given(st.text(min_size=1, max_size=3 * MAX_MESSAGE_ID))
def test_case_39_message_ids_are_bounded(text: str) -> None:
    """A message id loses blanks around it, and a long one is shortened, always the same way."""
    first, second = (checked("track", messageId=text)[1].message_id for _ in range(2))
    assert 0 < len(first) <= MAX_MESSAGE_ID
    kept = text.strip()
    if kept and len(kept) <= MAX_MESSAGE_ID:
        assert first == kept
    elif kept:
        assert first == second
        assert first != kept


def test_case_39_long_ids_stay_different() -> None:
    """Long ids that differ only in the last character stay different."""
    long = "x" * 500
    one, other = (checked("track", messageId=long + c)[1].message_id for c in "ab")
    assert one != other
    assert len(one) == MAX_MESSAGE_ID


def test_properties_are_bounded() -> None:
    """Properties over the limit are dropped with a note; at the limit none are."""
    full = {f"k{n}": n for n in range(MAX_PROPERTIES)}
    code, event = checked("track", properties=full)
    assert (code, event.properties, event.raw_notes) == (None, full, EMPTY)

    code, event = checked("track", properties={**full, "more": 1})
    assert (code, event.properties) == (None, full)
    assert event.notes.notes == ("properties_truncated",)


def test_the_shortest_properties_are_counted_too() -> None:
    """The limit counts keys, also of the shortest possible properties."""
    body = ",".join(f'"{chr(0x4E00 + n)}":1' for n in range(MAX_PROPERTIES + 1))
    event = Event(type="track", event="e", user_id="u", raw_properties=Raw(f"{{{body}}}".encode()))
    assert validate(event) is None
    assert len(event.properties) == MAX_PROPERTIES


@given(
    st.dictionaries(
        st.sampled_from(["type", *Event.__struct_encode_fields__]),
        json_values | st.sampled_from(["track", "identify", "page", "group", "alias", "u"]),
    )
)
def test_what_is_accepted_is_complete(sent: dict[str, Any]) -> None:
    """Every accepted event has a type, an id of a person, a message id, and valid bodies."""
    try:
        event = normalise({key: Raw(json.dumps(value).encode()) for key, value in sent.items()})
    except Discarded:
        return
    if validate(event) is not None:
        return
    shown = json.loads(event.to_json())
    assert shown["type"] in EVENT_TYPES
    assert shown["messageId"]
    assert shown.get("userId", "").strip() or shown.get("anonymousId", "").strip()
    for body in ("properties", "traits", "context", "integrations", "_metadata"):
        assert isinstance(shown.get(body, {}), dict)


@given(st.sampled_from(sorted(EVENT_TYPES)), st.text(max_size=5))
def test_validating_twice_changes_nothing(kind: str, message_id: str) -> None:
    """An accepted event is in its final form."""
    code, event = checked(kind, messageId=message_id)
    once = event.to_json()
    assert (code, validate(event), event.to_json()) == (None, None, once)


@pytest.mark.parametrize(
    ("context", "code"),
    [
        (b'{"device":{"advertisingId":"7A3C"}}', None),
        (b'{"device":{"advertisingId":null}}', None),
        (b'{"device":{"advertisingId":7}}', "device_advertisingid_should_be_string"),
        (b'{"device":{"advertisingId":{}}}', "device_advertisingid_should_be_string"),
        (b'{"device":5,"advertisingId":7}', None),
    ],
)
def test_an_advertising_id_is_a_string(context: bytes, code: str | None) -> None:
    """An advertising id must be a string."""
    event = Event(type="track", event="e", user_id="u", raw_context=Raw(context))
    assert validate(event) == code
