"""Real-world cases, where a development copy of them is beside the repository.

Where we differ on purpose, the difference is taken out of both sides, and the rest must be equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import Permanent, Secret, parse_ms
from gateway.testing import Discarded, event_from_client
from headgate_ga4.config import Ga4Config
from headgate_ga4.mapping import Mapper

CASES = Path(__file__).parents[4] / "shared" / "golden" / "ga4.jsonl"
if not CASES.exists():
    pytest.skip("the golden cases are not part of this copy", allow_module_level=True)
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]

DIFFER = {
    "ga4-2bbb0df9f9": "a product without id and name is left out, and the event is not lost",
    "ga4-e5a934efb8": "a name that Google would not take is changed, and the event is not lost",
}
"""Cases with another outcome here; the README gives the reasons too."""


def config_of(theirs: dict[str, Any]) -> Ga4Config:
    app = theirs["typesOfClient"] == "firebase"
    return Ga4Config(
        api_secret=Secret(theirs.get("apiSecret") or ""),
        measurement_id="" if app else theirs.get("measurementId") or "",
        firebase_app_id=theirs.get("firebaseAppId") or "" if app else "",
        default_currency="USD",
        prefer_total=True,
    )


def comparable(entry: dict[str, Any], quirks: list[str]) -> dict[str, Any]:
    """Removes the deliberate differences."""
    if "over_25_params" in quirks:  # the last of them are left out here
        levels = ("categoryLevels_1", "categoryLevels_2")
        entry["params"] = {k: v for k, v in entry["params"].items() if k not in levels}
    return entry


def expected_entries(row: dict[str, Any]) -> list[dict[str, Any]]:
    value = dict(row["expected"]["body"]["value"])
    return [{**value, "events": None, **event} for event in value["events"]]


def made(row: dict[str, Any]) -> list[dict[str, Any]]:
    event = dict(row["event"])
    if not isinstance(event.get("event", ""), str):
        raise Permanent("intake takes no event with such a name")
    if "timestamp" not in event and "originalTimestamp" in event:
        event["timestamp"] = event["originalTimestamp"]
    ready = event_from_client(event)
    now = parse_ms(row.get("now") or ready.timestamp) or 0
    entry = Mapper(config_of(row["destination_config"]), lambda: now)(ready)
    assert entry is not None
    sender, sent = json.loads(msgspec.json.encode([entry.sender, entry.event]))
    return [{**sender, "events": None, **sent}]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_case(row: dict[str, Any]) -> None:
    """A case gives the same event as a widely used tool, except for listed differences."""
    if row["id"] in DIFFER:
        pytest.skip(DIFFER[row["id"]])
    if "expected_error" in row:
        with pytest.raises((Permanent, Discarded, ValueError)):
            made(row)
        return

    def ordered(entries: list[dict[str, Any]]) -> list[str]:
        return [json.dumps(comparable(e, row["quirks"]), sort_keys=True, indent=1) for e in entries]

    assert ordered(made(row)) == ordered(expected_entries(row))


def test_few_cases_differ() -> None:
    """Only the cases in the README differ."""
    assert len(DIFFER) == 2
    assert DIFFER.keys() <= {row["id"] for row in ROWS}
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert [id_ for id_ in DIFFER if id_ not in readme] == []
