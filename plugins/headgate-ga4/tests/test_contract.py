"""The contract of destinations, and golden cases of our own, against a vendor like Google."""

from __future__ import annotations

import pytest

import headgate_ga4
from gateway import Event
from gateway.testing import Answer, ContractScene, GoldenCase, Vendor, make_event

SECRET = "not-a-real-secret"
CONFIG = {"url": "{url}", "api_secret": SECRET, "measurement_id": "G-1"}


def reserved(message_id: str) -> Event:
    """Makes an event with a name that Google would silently drop."""
    return make_event(message_id=message_id, event="session_start", anonymous_id="a")


GOOGLE = Vendor(accepts=Answer(204), refuses=None, invalid=reserved)


@pytest.mark.destination_contract(headgate_ga4, CONFIG, GOOGLE)
def test_contract(contract_scene: ContractScene) -> None:
    """No answer of Google loses an event; it refuses no single event."""
    contract_scene.check()


@pytest.mark.golden("golden.jsonl", headgate_ga4, CONFIG)
def test_golden(golden_case: GoldenCase) -> None:
    """Each event leads to the requests in the file."""
    golden_case.check()
