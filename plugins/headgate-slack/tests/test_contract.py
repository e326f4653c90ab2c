"""The contract of destinations, and golden cases, against a vendor like Slack."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import headgate_slack
from gateway.testing import Answer, ContractScene, GoldenCase, Received, Vendor

CONFIG = {"webhook_url": "{url}/services/T0/B0/golden", "interval_seconds": 0.0}


def refuses(_: Received, __: Sequence[int]) -> Answer:
    """Refuses messages that it cannot read."""
    return Answer(400, body=b"invalid_payload")


@pytest.mark.destination_contract(
    headgate_slack,
    {**CONFIG, "text": "{{messageId}}"},
    Vendor(accepts=Answer(body=b"ok"), refuses=refuses),
)
def test_contract(contract_scene: ContractScene) -> None:
    """No answer of Slack loses an event."""
    contract_scene.check()


@pytest.mark.golden("golden.jsonl", headgate_slack, CONFIG)
def test_golden(golden_case: GoldenCase) -> None:
    """Each event leads to the messages in the file."""
    golden_case.check()
