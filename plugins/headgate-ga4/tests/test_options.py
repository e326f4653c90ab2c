"""Options in an event's `integrations` object."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Permanent, Secret
from gateway.testing import ManualClock, make_event
from headgate_ga4.config import Ga4Config
from headgate_ga4.mapping import Entry, Mapper

CLOCK = ManualClock()


def mapped(given: Any, name: str = "Google Analytics 4", **keys: Any) -> Entry:
    ids = keys or {"measurement_id": "G-1"}
    mapper = Mapper(Ga4Config(api_secret=Secret("s"), **ids), CLOCK)
    found = mapper(make_event(event="E", anonymous_id="anonymous", integrations={name: given}))
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["Google Analytics 4", "Google Analytics 4 (GA4)", "GA4"])
def test_each_name_counts(name: str) -> None:
    """All names that SDKs use for Google are read."""
    assert mapped({"clientId": "c-1"}, name).sender["client_id"] == "c-1"


def test_client_session_and_consent() -> None:
    """The ids of the page's own tag join the event to its session."""
    consents = {"ad_user_data": "GRANTED", "ad_personalization": "DENIED", "other": "GRANTED"}
    given = {"clientId": "c-1", "sessionId": "1795615", "sessionNumber": 3, "consents": consents}
    sender, event = mapped(given)
    assert sender["client_id"] == "c-1"
    assert sender["consent"] == {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"}
    assert (event["params"]["session_id"], event["params"]["session_number"]) == ("1795615", 3)


def test_an_app_instance() -> None:
    """The app's id is read from the options; without one an event has no client."""
    app = {"firebase_app_id": "1:2:android:3"}
    assert mapped({"appInstanceId": "i-1"}, **app).sender["app_instance_id"] == "i-1"
    with pytest.raises(Permanent, match="app instance"):
        mapped({}, **app)


@pytest.mark.parametrize("given", [True, {}, {"clientId": None, "consents": 7, "sessionId": "-"}])
def test_what_makes_no_sense_is_as_if_it_were_not_there(given: Any) -> None:
    """Wrong options are ignored, and the event is sent."""
    sender, event = mapped(given)
    assert sender["client_id"] == "anonymous"
    assert "consent" not in sender
    assert "session_id" not in event["params"]
