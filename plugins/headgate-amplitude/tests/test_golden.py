"""Real-world cases, where a development copy of them is beside the repository.

Where we differ on purpose, the difference is taken out of both sides, and the rest must be equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from gateway import Permanent, Secret, as_number
from gateway.testing import event_from_client
from headgate_amplitude.config import AmplitudeConfig
from headgate_amplitude.mapping import Mapper

CASES = Path(__file__).parents[4] / "shared" / "golden" / "amplitude.jsonl"
if not CASES.exists():
    pytest.skip("the golden cases are not part of this copy", allow_module_level=True)
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]

DIFFER = {
    "amplitude-052a37de26": "made for a warehouse sync that maps events beforehand",
    "amplitude-a159df648f": "made for a warehouse sync that maps events beforehand",
    "amplitude-e8d842e99c": "a group named by an event's options keeps its traits",
}
"""Cases with another outcome here; the README gives the reasons too."""

LOSES_CITY = {"amplitude-1edf06f98f", "amplitude-68acd70074", "amplitude-b689b4031d"}
"""Cases in which the other tool takes a city out of the traits and puts it nowhere."""

_DEVICE = ("os_name", "os_version", "device_model", "device_manufacturer", "platform")
_REVENUE = (
    "revenue",
    "price",
    "quantity",
    "productId",
    "product_id",
    "revenueType",
    "revenue_type",
)


def config_of(theirs: dict[str, Any]) -> AmplitudeConfig:
    def names(key: str) -> tuple[str, ...]:
        return tuple(entry["traits"] for entry in theirs.get(key, ()) if entry["traits"])

    def template(kind: str, default: str) -> str:
        if not theirs.get(f"useUserDefined{kind}EventName"):
            return default
        text = theirs[f"userProvided{kind}EventString"]
        return str(text)

    per_product = bool(theirs.get("trackRevenuePerProduct"))
    products: Literal["keep", "copy", "move"] = "copy" if per_product else "keep"
    if theirs.get("trackProductsOnce") is False:
        products = "move"
    return AmplitudeConfig(
        api_key=Secret(theirs.get("apiKey", "")),
        region="eu" if theirs.get("residencyServer") == "EU" else "us",
        device_id="anonymous",
        page_name=template("Page", "Viewed {{name}} Page"),
        screen_name=template("Screen", "Viewed {{name}} Screen"),
        traits_on_events=True,
        attribution=False,
        increment_traits=names("traitsToIncrement"),
        set_once_traits=names("traitsToSetOnce"),
        append_traits=names("traitsToAppend"),
        prepend_traits=names("traitsToPrepend"),
        group_type_trait=theirs.get("groupTypeTrait", ""),
        group_value_trait=theirs.get("groupValueTrait", ""),
        products=products,
        revenue_per_product=per_product,
        revenue_type="Purchased",
        alias=True,
    )


def comparable(entry: dict[str, Any], quirks: list[str]) -> dict[str, Any]:
    """Removes the deliberate differences."""
    entry = {key: value for key, value in entry.items() if key not in ("library", "user_agent")}
    if entry.get("session_id") == -1:
        del entry["session_id"]
    if "browser_as_os_name" in quirks:
        entry = {key: value for key, value in entry.items() if key not in _DEVICE}
    if "no_insert_id" in quirks or not entry.get("insert_id"):
        entry.pop("insert_id", None)  # the gateway gives every event an id
    entry = {k: as_number(v) if k.startswith("location_") else v for k, v in entry.items()}
    if not entry.get("time"):
        entry.pop("time", None)  # the gateway gives every event a time
    if "event_type" in entry:
        entry["event_type"] = " ".join(entry["event_type"].split())
    properties = dict(entry.pop("event_properties", {}))
    if "revenueType" in entry or "price" in entry or "revenue" in entry:
        # A copy stays with the properties, and price and quantity go out only where they agree.
        for key in _REVENUE:
            properties.pop(key, None)
        price = entry.pop("price", None)
        quantity = entry.pop("quantity", 1)
        if "revenue" not in entry and price is not None:
            entry["revenue"] = price * quantity
    if properties:
        entry["event_properties"] = properties
    if entry.get("device_brand") == entry.get("device_manufacturer"):
        entry.pop("device_brand", None)  # filled in here on every channel
    user = entry.pop("user_properties", {})
    flat = {k: v for k, v in user.items() if k != "$set" and not k.startswith(("utm_", "initial_"))}
    flat |= user.get("$set", {})
    address = flat.pop("address", None)
    if isinstance(address, dict):  # flattened here for every type of event
        flat = {**{k: v for k, v in address.items() if k not in ("city", "country")}, **flat}
    if flat:
        entry["user_properties"] = flat
    return entry


def expected_entries(row: dict[str, Any]) -> list[dict[str, Any]]:
    requests = row["expected"] if isinstance(row["expected"], list) else [row["expected"]]
    entries: list[dict[str, Any]] = []
    for request in requests:
        value = request["body"]["value"]
        for key in ("events", "identification", "mapping"):
            entries += value.get(key, [])
    return entries


def made(row: dict[str, Any]) -> list[dict[str, Any]]:
    event = dict(row["event"])
    if "request_ip" in event:  # where the gateway puts it
        event["context"] = {"ip": event.pop("request_ip"), **event.get("context", {})}
    event.setdefault("type", "track")
    entries = Mapper(config_of(row["destination_config"]))(event_from_client(event))
    return [json.loads(msgspec.json.encode(entry.payload)) for entry in entries]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_case(row: dict[str, Any]) -> None:
    """A case gives the same events, users and groups as a widely used tool, except as listed."""
    if row["id"] in DIFFER:
        pytest.skip(DIFFER[row["id"]])
    if "expected_error" in row:
        with pytest.raises((Permanent, ValueError)):
            made(row)
        return

    cut = row["id"] in LOSES_CITY

    def ordered(entries: list[dict[str, Any]]) -> list[str]:
        quirks = row["quirks"]
        bare = [comparable(e, quirks) for e in entries]
        if cut:
            bare = [{k: v for k, v in e.items() if k != "city"} for e in bare]
        return sorted(json.dumps(e, sort_keys=True, indent=1) for e in bare)

    assert ordered(made(row)) == ordered(expected_entries(row))


def test_few_cases_differ() -> None:
    """Only the cases in the README differ."""
    assert len(DIFFER) == 3
    assert DIFFER.keys() <= {row["id"] for row in ROWS}
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert [id_ for id_ in DIFFER if id_ not in readme] == []
