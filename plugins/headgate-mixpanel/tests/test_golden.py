"""Real-world cases, where a development copy of them is beside the repository.

Where we differ on purpose, the difference is taken out of both sides, and the rest must be equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import EVENT_TYPES, Permanent, Secret
from gateway.testing import Discarded, event_from_client
from headgate_mixpanel.config import MixpanelConfig
from headgate_mixpanel.mapping import Mapper

CASES = Path(__file__).parents[4] / "shared" / "golden" / "mixpanel.jsonl"
if not CASES.exists():
    pytest.skip("the golden cases are not part of this copy", allow_module_level=True)
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]

DIFFER = {
    "mixpanel-015fcc48db": "Mixpanel takes events of any age",
    "mixpanel-b87114ba6c": "there is no option for the source of a place, so none can be wrong",
}
"""Cases with another outcome here; the README gives the reasons too."""


RECEIVED_MS = 1_893_456_000_000
"""When the gateway received the events, as far as these tests go."""

_JOINED = ("$identified_id", "$anon_id")
_NOT_OF_EVENTS = {"token", "$browser", "$browser_version"}
_NOT_OF_PROFILES = {"$browser", "$browser_version"}
_RENAMED = {"$firstName": "$first_name", "$lastName": "$last_name"}


def config_of(theirs: dict[str, Any], *, traits_on_events: bool = False) -> MixpanelConfig:
    def names(key: str) -> tuple[str, ...]:
        return tuple(entry["property"].split(".")[-1] for entry in theirs.get(key, ()))

    return MixpanelConfig(
        token=Secret(theirs.get("token", "")),
        region=theirs.get("dataResidency", "us"),
        identity="simplified" if theirs.get("identityMergeApi") == "simplified" else "original",
        page_name="Loaded a Page",
        screen_name="Loaded a Screen",
        traits_on_events=traits_on_events,
        set_once_traits=names("setOnceProperties"),
        union_traits=names("unionProperties"),
        append_traits=names("appendProperties"),
        group_keys=tuple(entry["groupKey"] for entry in theirs.get("groupKeySettings", ())),
    )


def comparable(entry: dict[str, Any], quirks: list[str]) -> dict[str, Any]:
    """Removes the deliberate differences."""
    if entry.get("event") in ("$merge", "$identify"):
        properties = entry["properties"]
        ids = properties.get("$distinct_ids") or list(map(properties.get, _JOINED))
        return {"joined": sorted(ids)}
    if "properties" in entry:
        properties = {k: v for k, v in entry["properties"].items() if k not in _NOT_OF_EVENTS}
        if "insert_id_tail_36" in quirks:
            properties.pop("$insert_id", None)
        if properties.get("ip") == "0":  # never the gateway's address
            del properties["ip"]
        if properties.get("time") in (None, RECEIVED_MS):
            properties.pop("time", None)
        if entry["event"] == "$create_alias":
            properties = {key: properties[key] for key in ("distinct_id", "alias")}
        return {"event": entry["event"].strip(), "properties": properties}
    entry = dict(entry)
    if entry.get("$ip") == "0" or "$set" not in entry:
        entry.pop("$ip", None)
    if entry.get("$time") in (None, RECEIVED_MS) or "$set" not in entry:
        entry.pop("$time", None)
    if "$set" in entry:
        renamed = {_RENAMED.get(key, key): value for key, value in entry["$set"].items()}
        own = {k: v for k, v in renamed.items() if k not in _NOT_OF_PROFILES and v is not None}
        if isinstance(own.get("address"), str):
            del own["address"]  # lost there, kept here
        entry["$set"] = own
    return entry


def expected_entries(row: dict[str, Any]) -> list[dict[str, Any]]:
    requests = row["expected"] if isinstance(row["expected"], list) else [row["expected"]]
    entries = [entry for request in requests for entry in request["body"]["value"]]
    return [entry for entry in entries if "$transactions" not in entry.get("$append", {})]


def made(row: dict[str, Any]) -> list[dict[str, Any]]:
    event = dict(row["event"])
    if "request_ip" in event:  # where the gateway puts it
        event["context"] = {"ip": event.pop("request_ip"), **event.get("context", {})}
    if "timestamp" not in event and "originalTimestamp" in event:
        event["timestamp"] = event["originalTimestamp"]
    event["receivedAt"] = "2030-01-01T00:00:00.000Z"
    ready = event_from_client(event)
    ready.received_at = "2030-01-01T00:00:00.000Z"  # as intake stamps it
    merged = "traits_merged_into_event" in row["quirks"]
    entries = Mapper(config_of(row["destination_config"], traits_on_events=merged))(ready)
    return [json.loads(msgspec.json.encode(entry.payload)) for entry in entries]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_case(row: dict[str, Any]) -> None:
    """A case gives the same records and updates as a widely used tool, except as listed."""
    if row["id"] in DIFFER:
        pytest.skip(DIFFER[row["id"]])
    if row["event"].get("type") not in EVENT_TYPES:
        assert "expected_error" in row  # and intake takes no such event
        return
    if "expected_error" in row:
        with pytest.raises((Permanent, Discarded)):
            made(row)
        return

    def ordered(entries: list[dict[str, Any]]) -> list[str]:
        quirks = row["quirks"]
        return sorted(json.dumps(comparable(e, quirks), sort_keys=True, indent=1) for e in entries)

    assert ordered(made(row)) == ordered(expected_entries(row))


def test_few_cases_differ() -> None:
    """Only the cases in the README differ."""
    assert len(DIFFER) == 2
    assert DIFFER.keys() <= {row["id"] for row in ROWS}
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert [id_ for id_ in DIFFER if id_ not in readme] == []
