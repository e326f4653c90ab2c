"""Calls the HTTP API of a running gateway, each time over a new connection."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Sequence
from email.message import Message
from typing import Any, NamedTuple

from tests.support.gateway_process import GatewayProcess

__all__ = ["ADMIN_TOKEN", "Reply", "call", "call_admin", "post_events", "send_track"]

ADMIN_TOKEN = "0123456789abcdef0123"
_TIMEOUT_SECONDS = 20


class Reply(NamedTuple):
    """Status, headers and decoded JSON body of a response."""

    status: int
    headers: Message
    json: Any


def call(
    url: str, body: Any = None, *, authorization: str | None = None, method: str | None = None
) -> Reply:
    """Sends a request and returns the reply, whatever its status.

    Args:
        body: sent as JSON; None sends no body.
        method: by default GET without a body and POST with one.
    """
    request = _request(url, body, authorization, method)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            return Reply(response.status, response.headers, json.loads(response.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, json.loads(error.read()))


def call_admin(
    gateway: GatewayProcess,
    path: str,
    body: Any = None,
    *,
    token: str = ADMIN_TOKEN,
    method: str | None = None,
) -> Reply:
    """Calls a path below ``/admin/`` with an admin token."""
    url = f"{gateway.url}/admin/{path}"
    return call(url, body, authorization=f"Bearer {token}", method=method)


def post_events(url: str, events: Sequence[dict[str, Any]], write_key: str = "demo") -> None:
    """Sends a batch of events.

    Raises:
        urllib.error.HTTPError: the gateway refuses the batch.
    """
    _post(f"{url}/v1/batch", {"batch": events}, write_key)


def send_track(gateway: GatewayProcess, **event: Any) -> None:
    """Sends one track event of the user ``u``.

    Raises:
        urllib.error.HTTPError: the gateway refuses the event.
    """
    _post(f"{gateway.url}/v1/track", {"userId": "u", **event}, "demo")


def _post(url: str, body: Any, write_key: str) -> None:
    token = b64encode(f"{write_key}:".encode()).decode()
    request = _request(url, body, f"Basic {token}", "POST")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
        assert response.status == 200


def _request(
    url: str, body: Any, authorization: str | None, method: str | None
) -> urllib.request.Request:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    return urllib.request.Request(url, data, headers, method=method)
