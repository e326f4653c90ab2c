"""The contract of destinations, and golden cases, against a receiver of the webhook."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import headgate_webhook
from gateway.testing import Answer, ContractScene, GoldenCase, Received, Vendor

CONFIG = {
    "url": "{url}/T0000/a-token-in-the-path",
    "secret": "signing-secret",
    "headers": {"Authorization": "Bearer abc.def.ghi", "X-Api-Key": "k3y-k3y-k3y"},
    "compress": "gzip",
}


def refuses(request: Received, places: Sequence[int]) -> Answer:
    """Names the refused events, and keeps the others."""
    failed = [{"index": place, "retry": False, "reason": "too old"} for place in places]
    return Answer(207, json={"failed": failed})


@pytest.mark.destination_contract(headgate_webhook, CONFIG, Vendor(refuses=refuses))
def test_contract(contract_scene: ContractScene) -> None:
    """No answer of a receiver loses an event."""
    contract_scene.check()


@pytest.mark.golden("golden.jsonl", headgate_webhook, {"url": "{url}/events"})
def test_golden(golden_case: GoldenCase) -> None:
    """Each event leads to the request in the file."""
    golden_case.check()
