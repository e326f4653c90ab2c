"""The contract of destinations, and golden cases of our own, against a vendor like Google."""

from __future__ import annotations

import pytest

import headgate_ga4
from gateway import Event
from gateway.testing import Answer, ContractScene, GoldenCase, Vendor, make_event

SECRET = "not-a-real-secret"
CONFIG = {"url": "{url}", "api_secret": SECRET, "measurement_id": "G-1"}


def reserved(message_id: str) -> Event:
    """Has a name that Google would drop without a word."""
    return make_event(message_id=message_id, event="session_start", anonymous_id="a")


GOOGLE = Vendor(accepts=Answer(204), refuses=None, invalid=reserved)


@pytest.mark.destination_contract(headgate_ga4, CONFIG, GOOGLE)
def test_contract(contract_scene: ContractScene) -> None:
    """Nothing is lost, whatever Google does; it refuses no single event."""
    contract_scene.check()


@pytest.mark.golden("golden.jsonl", headgate_ga4, CONFIG)
def test_golden(golden_case: GoldenCase) -> None:
    """An event makes the requests that the file says."""
    golden_case.check()
