"""Options in an event's `integrations` object, and texts that Amplitude cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_by
from hypothesis import strategies as st

from gateway import Secret
from gateway.testing import make_context, make_event
from headgate_amplitude.config import AmplitudeConfig
from headgate_amplitude.mapping import Mapper


def mapped(given: Any, name: str = "Amplitude", **fields: Any) -> Any:
    mapper = Mapper(AmplitudeConfig(api_key=Secret("k"), alias=True))
    (entry,) = mapper(make_event(integrations={name: given}, **fields))
    return entry.payload


def test_each_option_of_an_event() -> None:
    """Session, sequence number, groups, removed properties and unsynced properties are sent."""
    groups = {"company": "acme"}
    given = {
        "session_id": 1795615200000,
        "event_id": 7,
        "groups": groups,
        "fieldsToUnset": ["plan", 3],
        "skipUserPropertiesSync": True,
    }
    payload = mapped(given)
    assert payload["session_id"] == 1795615200000
    assert payload["event_id"] == 7
    assert payload["groups"] == groups
    assert payload["user_properties"]["$unset"] == {"plan": "-"}
    assert payload["$skip_user_properties_sync"] is True


def test_the_session_of_segments_browser_plugin() -> None:
    """Its key has another name there."""
    payload = mapped({"session_id": "1795615200000"}, "Actions Amplitude")
    assert payload["session_id"] == 1795615200000


def test_two_users_are_taken_apart_again() -> None:
    """An alias event can undo a mapping."""
    payload = mapped({"unmap": "u-2"}, type="alias", user_id="u", previous_id="v")
    assert payload == {"user_id": "u-2", "unmap": True}


@pytest.mark.parametrize(
    "given",
    [True, {}, {"event_id": True, "groups": [], "fieldsToUnset": "plan", "session_id": {}}],
)
def test_what_makes_no_sense_is_as_if_it_were_not_there(given: Any) -> None:
    """Wrong options are ignored, and the event is sent."""
    payload = mapped(given)
    assert {"event_id", "groups", "session_id", "$skip_user_properties_sync"}.isdisjoint(payload)
    assert "$unset" not in payload.get("user_properties", {})


@given_by(st.dictionaries(st.text(), st.text() | st.lists(st.none()), max_size=3))
def test_any_context_can_be_mapped(context: dict[str, Any]) -> None:
    """Any value in the context can be mapped."""
    for key in ("library", "device", "os", "page", "campaign"):
        mapped({}, context={key: {"name": context, "id": context, "type": context}})
    mapped({}, context={"library": context, "device": context, "userAgent": context})


def test_texts_that_amplitude_cuts_are_counted(tmp_path: Path) -> None:
    """Texts in properties and traits count."""
    context = make_context(tmp_path)
    mapper = Mapper(AmplitudeConfig(api_key=Secret("k")), context.count)
    mapper(make_event(properties={"a": "x" * 1024, "b": ["x" * 2000]}))
    assert context.counted == {}
    mapper(make_event(properties={"a": "x" * 1025, "b": "x" * 2000}))
    mapper(make_event(type="identify", traits={"bio": "x" * 1025}))
    assert context.counted == {"values_cut": 3}
