"""Config of the destination."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway import ConfigError
from gateway.testing import make_config
from headgate_slack import SlackConfig

URL = "https://hooks.slack.example/services/T0/B0/secret-of-the-channel"


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({}, "webhook_url: is missing"),
        ({"webhook_url": "hooks.slack.example"}, "webhook_url: must be an http or https URL"),
        ({"webhook_url": "https://[::1/x"}, "webhook_url: must be an http or https URL"),
        ({"webhook_url": URL, "text": " "}, "text: is empty"),
        ({"webhook_url": URL, "text": "{{usrId}}"}, "text: {{usrId}}: an event has no field"),
        ({"webhook_url": URL, "digest_text": "{{n}}"}, "digest_text: {{n}}: an event has no"),
        ({"webhook_url": URL, "when": "event = "}, "when: "),
        ({"webhook_url": URL, "blocks": [{"text": "{{n}}"}]}, "blocks: {{n}}"),
        ({"webhook_url": URL, "blocks": [{}] * 51}, "blocks: Slack takes 50, these are 51"),
        ({"webhook_url": URL, "interval_seconds": -1}, "interval_seconds"),
        ({"webhook_url": URL, "digest_above": -1}, "digest_above"),
        ({"webhook_url": URL, "max_text_chars": 99}, "max_text_chars"),
        ({"webhook_url": URL, "max_text_chars": 40_001}, "max_text_chars"),
        ({"webhook_url": URL, "ca_file": "x", "verify_tls": False}, "ca_file: has no effect"),
        ({"routes": [{"when": "event = 'A'"}]}, "routes[0].webhook_url: is missing"),
        ({"webhook_url": URL, "routes": [{"when": "("}]}, "routes[0].when: "),
        ({"webhook_url": URL, "routes": [{"text": "x"}]}, "when"),
        ({"webhook_url": URL, "routes": [{"when": "event = 'A'", "text": ""}]}, "routes[0].text"),
        ({"webhook_url": URL, "chanel": "x"}, "chanel"),
    ],
)
def test_a_mistake_is_named_by_its_key(keys: dict[str, Any], wrong: str) -> None:
    """The error says what is wrong, and does not show the URL."""
    with pytest.raises(ConfigError, match=re.escape(wrong)) as caught:
        make_config(SlackConfig, keys, "destinations.team")
    assert str(caught.value).startswith("destinations.team")
    assert "secret-of-the-channel" not in str(caught.value)


def test_the_url_is_not_shown() -> None:
    """Printing the whole config does not show it."""
    keys = {"webhook_url": URL, "routes": [{"when": "event = 'A'", "webhook_url": URL}]}
    assert "secret-of" not in repr(make_config(SlackConfig, keys, "destinations.team"))
