"""That no event is lost, whatever Slack does."""

from __future__ import annotations

import headgate_slack
from gateway.testing import Answer, Vendor, check_destination_contract

CONFIG = {"webhook_url": "{url}", "text": "{{messageId}}", "interval_seconds": 0.0}


def test_the_contract() -> None:
    """With an event that Slack does not take among others."""
    bad = Answer(400, body=b"invalid_payload")
    vendor = Vendor(accepts=Answer(body=b"ok"), refuses=lambda request, places: bad)
    check_destination_contract(headgate_slack, CONFIG, vendor)
