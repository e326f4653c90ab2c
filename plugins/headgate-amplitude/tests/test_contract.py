"""The contract of destinations, and golden cases of our own, against a vendor like Amplitude."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import headgate_amplitude
from gateway import Event
from gateway.testing import Answer, ContractScene, GoldenCase, Received, Vendor, make_event

KEY = "0123456789abcdef0123456789abcdef"


def refuses(request: Received, places: Sequence[int]) -> Answer:
    """Refuses a whole request, and names the events at fault."""
    fields = {"time": list(places)}
    return Answer(400, json={"error": "Invalid", "events_with_invalid_fields": fields})


def without_ids(message_id: str) -> Event:
    return make_event(message_id=message_id, user_id=None)


AMPLITUDE = Vendor(refuses=refuses, invalid=without_ids)


@pytest.mark.destination_contract(headgate_amplitude, {"url": "{url}", "api_key": KEY}, AMPLITUDE)
def test_contract(contract_scene: ContractScene) -> None:
    """No answer of Amplitude loses an event."""
    contract_scene.check()


@pytest.mark.golden(
    "golden.jsonl", headgate_amplitude, {"url": "{url}", "api_key": "not-a-real-key"}
)
def test_golden(golden_case: GoldenCase) -> None:
    """Each event leads to the requests in the file."""
    golden_case.check()
