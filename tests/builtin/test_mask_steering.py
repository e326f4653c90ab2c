"""The mask leaves alone what decides where an event goes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.events.consent import CONSENT_EVENT, permits
from gateway.events.integrations import refusal
from gateway.testing import make_event
from tests.support.masking import EMAIL, PHONE, config, masked
from tests.support.stored_event import as_stored

NAMES = ("Phone", "street", "consent", "categoryPreferences", "bundled", "All")
CONSENT = {"categoryPreferences": {"Phone": True, EMAIL: True, "street": False}, "by": PHONE}


@pytest.mark.parametrize("action", ["mask", "replace", "drop"])
@pytest.mark.parametrize("escaped", [False, True])
def test_consent_stays_as_the_user_gave_it(action: str, *, escaped: bool) -> None:
    """A category may be called as a field that is masked, or look like personal data."""
    context: dict[str, Any] = {"consent": CONSENT, "phone": PHONE, "to": EMAIL}
    if escaped:
        context["path"] = 'a "quoted" \\ path'
    event = as_stored(masked(make_event(context=context), fields=NAMES, action=action))
    assert event.context["consent"] == CONSENT
    assert event.context.get("phone") != PHONE
    assert event.context.get("to") != EMAIL
    assert permits(event, ["Phone"])
    assert not permits(event, ["street"])


def test_consent_that_alone_looks_personal_changes_nothing() -> None:
    """A context in which only the consent would be masked is the same afterwards."""
    event = make_event(context={"consent": CONSENT})
    before = bytes(event.raw_context)
    assert bytes(masked(event, fields=NAMES).raw_context) == before


@pytest.mark.parametrize("action", ["mask", "replace", "drop"])
def test_switches_of_integrations_stay(action: str) -> None:
    """Names of destinations and their switches stay; a masked text stays as true as it was."""
    switches = {"All": False, "Phone": True, EMAIL: True, "street": {}, "text": EMAIL}
    event = as_stored(masked(make_event(integrations=switches), fields=NAMES, action=action))
    kept = {**switches, "text": event.integrations["text"]}
    assert event.integrations == kept
    assert event.integrations["text"] != EMAIL
    for name in (*switches, "other"):
        before = refusal(make_event(integrations=switches), name, storage=False)
        assert refusal(event, name, storage=False) == before


def test_options_of_a_destination_are_searched() -> None:
    """An address in the options is masked, and the destination stays switched on."""
    event = masked(make_event(integrations={"Phone": {"to": EMAIL}}), fields=NAMES, action="drop")
    assert event.integrations == {"Phone": {}}


def test_what_the_device_has_sent_itself_stays() -> None:
    """The list of bundled destinations keeps an event from being sent twice."""
    metadata = {"bundled": ["Phone", EMAIL], "unbundled": [], "note": EMAIL}
    sent = make_event()
    sent.metadata = metadata
    event = masked(sent, fields=NAMES)
    assert event.metadata == {**metadata, "note": "j***@example.com"}


def test_the_name_of_the_consent_event_stays() -> None:
    """A refusal is heard of, even where names of events are hashed."""
    rule = ({"path": "event", "action": "hash"},)
    told = make_event(event=CONSENT_EVENT, context={"consent": CONSENT})
    other = make_event(event="Order Completed")
    settings: dict[str, Any] = {"fields": rule, "secret": "s" * 16}
    assert masked(told, **settings).event == CONSENT_EVENT
    assert masked(other, **settings).event != "Order Completed"


@pytest.mark.parametrize(
    "path", ["context.consent", "context.consent.categoryPreferences.Phone", "integrations.Phone"]
)
def test_a_rule_for_it_is_refused(path: str) -> None:
    """A path to what decides where an event goes is a mistake of the config."""
    with pytest.raises(ConfigError, match="decides where an event goes"):
        config(fields=(path,))
    config(skip=(path,))
    config(fields=("integrations.Phone.to", "context.consents"))
