"""The contract of destinations, and golden cases of our own, against a vendor like Mixpanel."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import headgate_mixpanel
from gateway import Event
from gateway.testing import Answer, ContractScene, GoldenCase, Received, Vendor, make_event

TOKEN = "0123456789abcdef0123456789abcdef"


def refuses(request: Received, places: Sequence[int]) -> Answer:
    """Names the refused records, and keeps the others."""
    failed = [{"index": place, "field": "time", "message": "too old"} for place in places]
    return Answer(400, json={"code": 400, "failed_records": failed})


def alias(message_id: str) -> Event:
    return make_event(type="alias", message_id=message_id, previous_id="old")


MIXPANEL = Vendor(refuses=refuses, keeps_others=True, invalid=alias)
CONFIG = {"url": "{url}", "token": "not-a-real-token", "compress": False}


@pytest.mark.destination_contract(headgate_mixpanel, {"url": "{url}", "token": TOKEN}, MIXPANEL)
def test_contract(contract_scene: ContractScene) -> None:
    """No answer of Mixpanel loses an event."""
    contract_scene.check()


@pytest.mark.golden("golden.jsonl", headgate_mixpanel, CONFIG, accepts=Answer(body=b"1"))
def test_golden(golden_case: GoldenCase) -> None:
    """Each event leads to the requests in the file."""
    golden_case.check()
