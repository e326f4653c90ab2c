"""Callers who keep naming wrong keys or tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN
from tests.support.raw_http import basic, exchange, request

TRIES = 5  # of which one is not held up by what else the machine does
CONFIG = f"""
[server]
port = 0
max_wrong_keys_per_second = 2.0
[admin]
token = "{ADMIN_TOKEN}"
max_wrong_tokens_per_second = 2.0
[sources.web]
type = "segment"
write_key = "demo"
[destinations.all]
type = "null"
"""


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("wrong"), CONFIG) as gateway:
        yield gateway


def seconds(gateway: GatewayProcess, data: bytes, status: int) -> float:
    """Time until a request is answered with a status."""
    began = time.monotonic()
    [answer] = exchange(gateway.url, data)
    assert answer.status == status
    return time.monotonic() - began


def admin(token: str) -> bytes:
    header = b"Authorization: Bearer " + token.encode()
    return request(None, header, path=b"/admin/status", method=b"GET")


@pytest.mark.parametrize("path", [b"/v1/track", b"/v1/track?a=b"])
def test_wrong_keys_are_slowed_down(gateway: GatewayProcess, path: bytes) -> None:
    """After a burst of wrong keys the next answer 401 is delayed; a right key never waits."""
    wrong = request(b"{}", basic("wrong"), path=path)
    for _ in range(60):
        if seconds(gateway, wrong, 401) > 0.3:
            break
    else:
        raise AssertionError("no answer is delayed")
    right = request(b'{"event":"e","userId":"u"}', basic("demo"), path=path)
    assert min(seconds(gateway, right, 200) for _ in range(TRIES)) < 0.3


def test_wrong_tokens_are_slowed_down(gateway: GatewayProcess) -> None:
    """After a burst of wrong tokens each request waits, so that a right guess is no faster."""
    assert min(seconds(gateway, admin(ADMIN_TOKEN), 200) for _ in range(TRIES)) < 0.3
    for _ in range(60):
        if seconds(gateway, admin("wrong"), 401) > 0.3:
            break
    else:
        raise AssertionError("no answer is delayed")
    assert seconds(gateway, admin(ADMIN_TOKEN), 200) > 0.1
    health = request(None, path=b"/health", method=b"GET")
    assert min(seconds(gateway, health, 200) for _ in range(TRIES)) < 0.3
