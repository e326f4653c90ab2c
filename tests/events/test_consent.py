"""The end user's consent: its whole truth table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.chain import Chain
from gateway.config.load import load
from gateway.config.settings import DestinationSettings
from gateway.delivery.selection import Outgoing, Selection, SelectionContext
from gateway.errors import ConfigError
from gateway.events.consent import CONSENT_EVENT, permits
from gateway.events.envelope.validate import validate
from gateway.events.event import Event
from gateway.events.integrations import refusal
from gateway.testing import make_event
from tests.support.values import json_values

MAPPED = ("Advertising", "Analytics")
ABSENT: Any = object()
BOTH = {"Advertising": True, "Analytics": True}


def made(consent: Any = ABSENT, integrations: Any = ABSENT, **fields: Any) -> Event:
    """Returns an event with this consent, or with a context that has none."""
    context = {"library": {"name": "analytics.js"}}
    if consent is not ABSENT:
        context["consent"] = consent
    if integrations is not ABSENT:
        fields["integrations"] = integrations
    return make_event(context=context, **fields)


def preferring(preferences: Any) -> dict[str, Any]:
    return {"categoryPreferences": preferences}


def refused(event: Event, *, mapped: tuple[str, ...] = MAPPED, storage: bool = False) -> str | None:
    return refusal(event, "Mixpanel", storage=storage, consent=mapped)


# Consent: what a mapped destination's answer is without an integrations object, and with one that
# names others only.
TABLE: list[tuple[Any, str | None, str | None]] = [
    (ABSENT, None, None),
    (None, None, None),
    ({}, None, "consent"),
    ({"version": 2}, None, "consent"),
    (preferring(None), None, "consent"),
    (preferring({}), "consent", "consent"),
    (preferring({"Advertising": True}), "consent", "consent"),
    (preferring({"Advertising": True, "Analytics": False}), "consent", "consent"),
    (preferring({"Advertising": True, "Analytics": None}), "consent", "consent"),
    (preferring({"advertising": True, "analytics": True}), "consent", "consent"),
    (preferring(dict.fromkeys(MAPPED, False)), "consent", "consent"),
    (preferring(dict.fromkeys(MAPPED, "true")), "consent", "consent"),
    (preferring(dict.fromkeys(MAPPED, 1)), "consent", "consent"),
    (preferring(BOTH), None, None),
    (preferring(BOTH | {"Other": False}), None, None),
    (preferring(True), "consent", "consent"),
    (preferring([*MAPPED]), "consent", "consent"),
    (False, "consent", "consent"),
    (True, "consent", "consent"),
    ("yes", "consent", "consent"),
    ([], "consent", "consent"),
]


@pytest.mark.parametrize(("consent", "alone", "beside"), TABLE)
def test_the_truth_table(consent: Any, alone: str | None, beside: str | None) -> None:
    """Every mapped category must be true, once an event has consent data."""
    assert refused(made(consent)) == alone
    assert refused(made(consent, {})) == alone
    assert refused(made(consent, {"Other": True})) == beside
    assert refused(made(consent, {"Other": False})) == beside


@pytest.mark.parametrize(("consent", "alone", "beside"), TABLE)
def test_naming_the_destination_cannot_override(
    consent: Any, alone: str | None, beside: str | None
) -> None:
    """`integrations` cannot undo a refusal, and can refuse in spite of consent."""
    for integrations in ({"Mixpanel": True}, {"Mixpanel": {"token": "x"}}, {"All": True}):
        assert refused(made(consent, integrations)) == beside
    for integrations in ({"Mixpanel": False}, {"All": False}):
        assert refused(made(consent, integrations)) == (beside or "integrations")


@pytest.mark.parametrize(("consent", "alone", "beside"), TABLE)
def test_who_is_exempt(consent: Any, alone: str | None, beside: str | None) -> None:
    """Destinations without categories, and archives, get an event for any consent."""
    for event in (made(consent), made(consent, {"Other": True})):
        assert refused(event, mapped=()) is None
        assert permits(event, ())
        assert refused(event, storage=True) is None
    assert refused(made(consent, {"Mixpanel": False}), mapped=()) == "integrations"


def test_one_category_is_enough_where_one_is_mapped() -> None:
    """Only the destination's own categories count."""
    event = made(preferring({"Advertising": True, "Analytics": False}))
    assert refused(event, mapped=("Advertising",)) is None
    assert refused(event, mapped=("Analytics",)) == "consent"


@pytest.mark.parametrize("preferences", [{}, {"Advertising": False, "Analytics": False}])
def test_a_change_of_mind_is_told_to_all(preferences: dict[str, bool]) -> None:
    """The event that reports new preferences passes consent; the other rules still apply."""
    consent = preferring(preferences)
    assert refused(made(consent, event=CONSENT_EVENT)) is None
    assert refused(made(consent, {"Mixpanel": False}, event=CONSENT_EVENT)) == "integrations"
    assert refused(made(consent, event=CONSENT_EVENT.lower())) == "consent"
    assert refused(made(consent, type="page", event=CONSENT_EVENT)) == "consent"


def test_the_change_of_mind_is_the_event_whose_form_is_checked() -> None:
    """Delivery and validation treat the same event as the report of preferences."""
    event = make_event(event=CONSENT_EVENT, context={"consent": preferring({"Analytics": "x"})})
    assert validate(event) == "consent_categorypreferences_fields_should_be_bool"


def test_consent_is_told_before_the_others() -> None:
    """If several rules refuse an event, it counts as refused by consent."""
    event = made(preferring({}), {"Mixpanel": False}, raw_metadata=b'{"bundled":["Mixpanel"]}')
    assert refused(event) == "consent"
    assert refused(event, mapped=()) == "device_mode"


def test_an_escaped_key_is_the_same_key() -> None:
    r"""``\u0063onsent`` is the key ``consent``, so escaping cannot hide a refusal."""
    event = make_event(raw_context=rb'{"\u0063onsent":{"categoryPreferences":{}}}')
    assert refused(event) == "consent"


@pytest.mark.parametrize(
    "context", [b'{"page":{"consent":{"categoryPreferences":{}}}}', b'{"consents":false}']
)
def test_consent_elsewhere_in_the_context_is_none(context: bytes) -> None:
    """Only `context.consent` itself counts."""
    assert refused(make_event(raw_context=context)) is None


@pytest.mark.parametrize("mapped", [(), MAPPED])
def test_the_context_is_decoded_only_where_it_matters(mapped: tuple[str, ...]) -> None:
    """The context is decoded only if it may have consent and the destination has categories."""
    broken = b'{"library":' if mapped else b'{"consent":'
    assert refused(make_event(raw_context=broken), mapped=mapped) is None
    assert refused(make_event(), mapped=mapped) is None


names = st.sampled_from([*MAPPED, "Other"])


@given(
    st.dictionaries(names, st.booleans() | json_values, max_size=4),
    st.sets(names),
    st.booleans(),
)
def test_the_rule_in_one_line(
    preferences: dict[str, Any], mapped: set[str], ascii_only: bool
) -> None:
    """A destination gets the event if all its categories are true."""
    context = {"consent": preferring(preferences)}
    event = make_event(raw_context=json.dumps(context, ensure_ascii=ascii_only).encode())
    true = {category for category, value in preferences.items() if value is True}
    assert permits(event, mapped) == (mapped <= true)


def config_of(tmp_path: Path, value: str) -> DestinationSettings:
    path = tmp_path / "config.toml"
    path.write_text(f'[destinations.crm]\ntype = "webhook"\nconsent = {value}\n')
    settings, table = load(path, {}).destinations["crm"]
    assert table.options == {}
    return settings


def test_categories_are_a_key_of_every_destination(tmp_path: Path) -> None:
    """Every destination type has the key `consent`; without it no category is mapped."""
    assert config_of(tmp_path, '["Advertising", "C0004"]').consent == ("Advertising", "C0004")
    assert DestinationSettings(type="x").consent == ()


@pytest.mark.parametrize("value", ['"Advertising"', '[""]', '[" "]', "[1]", "true"])
def test_categories_that_cannot_be_meant(tmp_path: Path, value: str) -> None:
    """An impossible mapping stops the start, and the error names its key."""
    with pytest.raises(ConfigError, match=r"destinations\.crm\.consent"):
        config_of(tmp_path, value)


UNSAID = [(ABSENT, {}), (None, {}), ({}, {}), ({"version": 2}, {}), (preferring(None), {})]


@pytest.mark.parametrize(("consent", "integrations"), UNSAID)
@pytest.mark.parametrize(
    ("default", "mapped", "unmapped"),
    [
        ("allow", None, None),
        ("only_unmapped", "consent", None),
        ("deny", "consent", "consent"),
    ],
)
def test_where_nothing_is_said_the_source_decides(
    consent: Any, integrations: Any, default: Any, mapped: str | None, unmapped: str | None
) -> None:
    """Without consent data, the source's default decides, except for archives."""
    event = made(consent, integrations)
    name = "Mixpanel"
    for categories, expected in ((MAPPED, mapped), ((), unmapped)):
        given = {"consent": categories, "consent_default": default}
        assert refusal(event, name, storage=False, **given) == expected
        assert refusal(event, name, storage=True, **given) is None


@pytest.mark.parametrize("default", ["allow", "only_unmapped", "deny"])
@pytest.mark.parametrize(("consent", "alone", "beside"), TABLE)
def test_what_is_said_is_not_for_the_source_to_decide(
    consent: Any, alone: str | None, beside: str | None, default: Any
) -> None:
    """With preferences in the event, the source's default has no effect."""
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if consent is ABSENT or consent is None or (isinstance(consent, dict) and preferences is None):
        return
    event = made(consent, {"Other": True})
    given = {"storage": False, "consent_default": default}
    assert refusal(event, "Mixpanel", consent=MAPPED, **given) == beside
    assert refusal(event, "Mixpanel", **given) is None


@pytest.mark.parametrize("default", ["allow", "only_unmapped", "deny"])
def test_a_change_of_mind_is_told_whatever_the_default(default: Any) -> None:
    """A report of preferences passes any default, also without consent data of its own."""
    for event in (made(event=CONSENT_EVENT), made(preferring({}), event=CONSENT_EVENT)):
        given = {"storage": False, "consent_default": default}
        assert refusal(event, "Mixpanel", consent=MAPPED, **given) is None
        assert refusal(event, "Mixpanel", **given) is None


async def test_each_source_has_its_own_default() -> None:
    """Events of two sources in one batch follow the default of their own source."""
    events = [made(source_id=source) for source in ("web", "shop", "old") * 2]
    outgoing = Outgoing(0)
    selection = Selection(
        SelectionContext(
            Chain([]),
            name="Mixpanel",
            storage=False,
            consent_defaults={"web": "allow", "shop": "deny"},
            clock=lambda: 0,
        )
    )
    await selection.sort(events, range(6), outgoing)
    assert outgoing.filtered == {"consent": [1, 4]}
    assert outgoing.offsets == [0, 2, 3, 5]
