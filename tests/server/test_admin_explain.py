"""What a token of the role read learns by trying events out."""

from __future__ import annotations

import hmac
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway_process import GatewayProcess

READ = "a-token-of-the-read-role"
CONFIG = f"""
[server]
port = 0
[admin]
tokens = [{{ name = "reader", token = "{READ}", role = "read" }}]
[sources.web]
type = "segment"
write_key = "demo"
[transforms.mask]
type = "mask"
secret = "the-secret-of-hashes"
fields = [{{ path = "userId", action = "hash" }}]
[transforms.names]
type = "mask"
secret = "the-secret-of-hashes"
destinations = ["hook"]
fields = [{{ path = "properties.who", action = "pseudonym" }}]
[destinations.hook]
type = "webhook"
url = "http://127.0.0.1:9/x?signature=abcdefgh"
secret = "the-secret-that-signs"
headers = {{ X-Partner-Key = "partner-key-1234" }}
"""


@pytest.fixture(name="found", scope="module")
def _found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    event = {"type": "track", "userId": "ada", "event": "e", "properties": {"who": "eve"}}
    with GatewayProcess(tmp_path_factory.mktemp("explain"), CONFIG) as gateway:
        request = urllib.request.Request(
            f"{gateway.url}/admin/explain",
            json.dumps({"event": event}).encode(),
            {"Authorization": f"Bearer {READ}"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            yield json.load(response)


def test_signatures_and_credentials_are_masked(found: dict[str, Any]) -> None:
    """No signature that the receiver would take is shown, and no header that is a credential."""
    [event] = found["events"]
    [sent] = event["destinations"][0]["sends"]
    assert sent["headers"]["X-Headgate-Signature"] == "***"
    assert sent["headers"]["X-Partner-Key"] == "***"
    assert sent["headers"]["Idempotency-Key"] != "***"
    assert "abcdefgh" not in json.dumps(found)


def test_keyed_hashes_are_masked(found: dict[str, Any]) -> None:
    """Nobody can have a value of their choice hashed, neither for all nor for a destination."""
    text = json.dumps(found)
    secret = b"the-secret-of-hashes"
    own = hmac.digest(secret, b"destination\nhook", "sha256")
    assert hmac.digest(secret, b"ada", "sha256").hex() not in text
    assert hmac.digest(own, b"eve", "sha256").hex() not in text
    assert found["events"][0]["event"]["userId"] == "***"
    [sent] = found["events"][0]["destinations"][0]["sends"]
    assert sent["body"]["batch"][0]["properties"]["who"] == "***"
