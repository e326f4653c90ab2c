"""Names of events, parameters and user properties that Google would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Permanent, Secret
from gateway.testing import make_context, make_event
from headgate_ga4.config import Ga4Config
from headgate_ga4.mapping import Mapper
from headgate_ga4.rules import event_name


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Über uns", "Über_uns"),
        ("U\u0308ber uns", "Über_uns"),
        ("注文完了", "注文完了"),
        ("Заказ оформлен!", "Заказ_оформлен_"),
        ("[App] Opened", "App_Opened"),
        ("$pageview", "pageview"),
        ("#1 Click", "e_1_Click"),
        ("\N{ROCKET} Launched", "Launched"),
        ("\N{ROCKET}", "e_1f680"),
        ("google ads clicked", "e_google_ads_clicked"),
        ("#session start", "e_session_start"),
        ("a" * 50, "a" * 40),
    ],
)
def test_a_name_that_google_would_refuse_is_changed(name: str, sent: str) -> None:
    """Letters of all scripts stay, and the changed name is none of Google's own."""
    assert event_name(name, app=False) == sent


@pytest.mark.parametrize(
    "name",
    [
        *("ad_reward", "app_exception", "app_upgrade", "dynamic_link_app_open", "_x", "google_x"),
        *("dynamic_link_first_open", "notification_send", "session start", "ga_x", "gtag.x"),
    ],
)
def test_a_reserved_name_is_refused(name: str) -> None:
    """Google would drop the event, whatever its stream."""
    for app in (True, False):
        with pytest.raises(Permanent, match="Google"):
            event_name(name, app=app)


def mapped(tmp_path: Any, **event: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, int]]:
    context = make_context(tmp_path)
    config = Ga4Config(api_secret=Secret("s"), measurement_id="G-1")
    found = Mapper(config, context.clock, context.count)(make_event(**{"event": "E", **event}))
    assert found is not None
    params = {k: v for k, v in found.event["params"].items() if k != "engagement_time_msec"}
    return params, found.sender, dict(context.counted)


def test_properties_and_their_names(tmp_path: Any) -> None:
    """A name is changed like an event's; a reserved one is left out, and counted."""
    properties = {"Plan Name": "pro", "größe": 3, "1st": 1, "x" * 50: 2, "items": 4}
    refused = {"google_x": 1, "ga_y": 2, "_z": 3, "firebase_a": 4, "gtag.b": 5, "": 6}
    sent, _, counted = mapped(tmp_path, properties={**properties, **refused})
    assert sent == {"Plan_Name": "pro", "größe": 3, "p_1st": 1, "x" * 40: 2, "p_items": 4}
    assert counted == {"params_misnamed": 6}


def test_a_changed_name_takes_no_other_place(tmp_path: Any) -> None:
    """The property that has the name from the start is sent, and the other is counted."""
    properties = {"plan name": "a", "plan_name": "b", "plan-name": "c", "session id": "d"}
    sent, _, counted = mapped(tmp_path, properties=properties)
    assert sent == {"plan_name": "b", "p_session_id": "d"}
    assert counted == {"params_misnamed": 2}


def test_user_properties_and_their_names(tmp_path: Any) -> None:
    """They are changed alike, at most 24 characters, and reserved ones are left out."""
    traits = {"Plan Name": "pro", "x" * 30: 1, "ga_x": 2, "user_id": "u", "größe": 3}
    _, sender, counted = mapped(tmp_path, context={"traits": traits})
    assert sender["user_properties"] == {
        "Plan_Name": {"value": "pro"},
        "x" * 24: {"value": 1},
        "größe": {"value": 3},
    }
    assert counted == {"user_properties_dropped": 2}
