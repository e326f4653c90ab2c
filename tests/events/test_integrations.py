"""The `integrations` object, by which a client chooses destinations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.event import EMPTY
from gateway.events.integrations import Refusals, integration_options, refusal
from gateway.testing import make_event
from tests.support.values import json_values


def refused(integrations: Any, name: str = "Mixpanel", *, storage: bool = False) -> str | None:
    return refusal(make_event(integrations=integrations), name, storage=storage)


def test_case_41_all_is_the_default() -> None:
    """Without an integrations object, or with an empty one, an event goes everywhere."""
    assert refusal(make_event(), "Mixpanel", storage=False) is None
    assert refused({}) is None
    assert refused({"All": True}) is None
    assert refused({"Other": False}) is None


def test_case_41_all_false_leaves_what_is_named() -> None:
    """With `All` false, only named destinations and archives get the event."""
    only = {"All": False, "Mixpanel": True}
    assert refused(only, "Mixpanel") is None
    assert refused(only, "Amplitude") == "integrations"
    assert refused(only, "Lake", storage=True) is None


def test_case_41_names_are_case_sensitive() -> None:
    """`mixpanel` is not `Mixpanel`."""
    assert refused({"mixpanel": True, "All": False}) == "integrations"
    assert refused({"mixpanel": False}) is None
    assert refused({"all": False}) is None


@pytest.mark.parametrize("given_options", [{}, {"appsflyerId": "x"}])
def test_case_41_options_switch_on(given_options: dict[str, Any]) -> None:
    """An object, even an empty one, counts as true, and the destination gets it as options."""
    event = make_event(integrations={"All": False, "Appsflyer": given_options})
    assert refusal(event, "Appsflyer", storage=False) is None
    assert integration_options(event, "Appsflyer") == given_options


def test_case_41_segment_itself_is_no_destination() -> None:
    """Mobile SDKs switch `Segment.io` off, which blocks nothing."""
    assert refused({"Segment.io": False}) is None


@pytest.mark.parametrize("value", [False, 0, "", [], 0.0])
@pytest.mark.parametrize("storage", [False, True])
def test_false_blocks(value: Any, storage: bool) -> None:
    """A false value blocks the named destination, also an archive."""
    assert refused({"Mixpanel": value}, storage=storage) == "integrations"
    assert refused({"All": True, "Mixpanel": value}, storage=storage) == "integrations"


def test_null_is_absent() -> None:
    """A destination of null follows `All`, and an `All` of null is true."""
    assert refused({"Mixpanel": None}) is None
    assert refused({"Mixpanel": None, "All": False}) == "integrations"
    assert refused({"All": None}) is None


def test_device_mode_is_not_sent_twice() -> None:
    """An event that the SDK has delivered itself is not sent again, but is still archived."""
    event = make_event(
        raw_metadata=b'{"bundled":["Mixpanel"],"unbundled":["Amplitude"]}',
        integrations={"Mixpanel": True},
    )
    assert refusal(event, "Mixpanel", storage=False) == "device_mode"
    assert refusal(event, "Mixpanel", storage=True) is None
    assert refusal(event, "Amplitude", storage=False) is None


@pytest.mark.parametrize(
    "metadata", [b"{}", b'{"bundled":null}', b'{"bundled":"Mixpanel"}', b'{"bundled":[1,{}]}']
)
def test_odd_metadata_blocks_nothing(metadata: bytes) -> None:
    """Only a list that names the destination marks the event as delivered by the SDK."""
    assert refusal(make_event(raw_metadata=metadata), "Mixpanel", storage=False) is None


def test_options_are_empty_where_there_are_none() -> None:
    """Without options the result is an empty mapping."""
    assert integration_options(make_event(), "Mixpanel") == {}
    assert integration_options(make_event(integrations={"Mixpanel": True}), "Mixpanel") == {}
    assert integration_options(make_event(integrations={"Mixpanel": "x"}), "Mixpanel") == {}


names = st.sampled_from(["All", "Mixpanel", "Lake", "Other"])


@given(st.dictionaries(names, json_values | st.booleans()), st.booleans())
def test_the_rule_in_one_line(integrations: dict[str, Any], storage: bool) -> None:
    """The named value decides, else `All`, which does not apply to archives, else yes."""
    own, all_ = integrations.get("Mixpanel"), integrations.get("All")
    deciding = own if own is not None else None if storage else all_
    goes = deciding is None or isinstance(deciding, dict) or bool(deciding)
    assert (refused(integrations, storage=storage) is None) == goes


objects = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["All", "Tool", "Other", "x" * 300]),
        st.one_of(st.none(), st.booleans(), st.just({}), st.just({"k": 1})),
    ),
)


@given(
    st.lists(st.tuples(objects, st.booleans(), st.booleans()), max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_what_is_remembered_is_what_the_rule_says(
    choices: list[tuple[Any, bool, bool]], storage: bool, mapped: bool
) -> None:
    """Results for many events at once are those for each event alone, with any cache."""
    events = [
        make_event(
            integrations=integrations,
            raw_metadata=b'{"bundled":["Tool"]}' if bundled else EMPTY,
            context={"consent": {"categoryPreferences": {"Ads": agreed}}},
        )
        for integrations, bundled, agreed in choices
    ]
    consent = ("Ads",) if mapped else ()
    expected = [refusal(e, "Tool", storage=storage, consent=consent) for e in events]
    assert Refusals("Tool", storage=storage, consent=consent)(events) == expected
