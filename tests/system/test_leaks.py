"""Personal data that comes in anywhere is not on disk, in logs, in metrics, or sent."""

from __future__ import annotations

import base64
import json
import threading
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.leak_search import KINDS, PLACES, Planted, everything_in, found_in, plant
from tests.support.sizes import sizes

DEFAULT = tomllib.loads((Path(__file__).parents[2] / "config.toml").read_text())["transforms"]


def _config(url: str) -> str:
    privacy = "\n".join(f"{key} = {_toml(value)}" for key, value in DEFAULT["privacy"].items())
    return f"""
[server]
port = 0
drain_timeout_seconds = 1.0
[queue]
reserve_bytes = 100_000
[log]
level = "debug"
format = "json"
[sources.web]
type = "segment"
write_key = "web"
[sources.off]
type = "segment"
write_key = "off"
enabled = false
[transforms.privacy]
{privacy}
[destinations.files]
type = "file"
path = "data/events"
[destinations.failing]
type = "webhook"
url = "{url}/failing"
retry = {{ initial_seconds = 0.05, max_seconds = 0.1, max_attempts = 2 }}
[destinations.refusing]
type = "webhook"
url = "{url}/refusing"
[destinations.hook]
type = "webhook"
url = "{url}/hook"
"""


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


class _Vendor(BaseHTTPRequestHandler):
    """Records every request body, and repeats it in its refusals."""

    received: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(f"{self.path} {self.headers}".encode() + body)
        status = {"/failing": 503, "/refusing": 400}.get(self.path, 200)
        answer = body[:1000] if status != 200 else b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vendor() -> Iterator[tuple[str, list[bytes]]]:
    received: list[bytes] = []
    handler = type("Vendor", (_Vendor,), {"received": received})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def _send(url: str, path: str, body: bytes | None, key: str = "web", **headers: str) -> int:
    token = base64.b64encode(f"{key}:".encode()).decode()
    request = urllib.request.Request(
        url + path, body, {"Authorization": f"Basic {token}", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _batch(planted: list[Planted]) -> bytes:
    return b'{"batch":[' + b",".join(one.event for one in planted) + b"]}"


def _among_others(planted: list[Planted], first: int) -> bytes:
    """Makes a batch in which most events hold no personal data and are stored as sent."""
    events = []
    for number, one in enumerate(planted, first):
        other = b'{"type":"page","name":"x","userId":"u","messageId":"other-%d-%%d"}' % number
        events += [other % 1, one.event, other % 2]
    return b'{"batch":[' + b",".join(events) + b"]}"


def _send_all(url: str, planted: list[Planted]) -> None:
    half = len(planted) // 2
    for start in range(0, half, 50):
        assert _send(url, "/v1/batch", _batch(planted[start : start + 50])) == 200
    for start in range(half, len(planted), len(KINDS)):  # all kinds at one place
        chunk = planted[start : start + len(KINDS)]
        assert _send(url, "/v1/batch", _among_others(chunk, start)) == 200
    duplicates = [one for one in planted if one.place == "messageId"]
    assert _send(url, "/v1/batch", _batch(duplicates)) == 200
    assert _send(url, "/v1/batch", _batch(duplicates), key="off") == 200
    for one in planted[:60]:
        one_event = json.loads(one.event)
        one_event.update(type="track", context={"library": {"name": "analytics.js"}})
        data = base64.urlsafe_b64encode(json.dumps(one_event).encode()).decode()
        _send(url, f"/v1/pixel/track?data={data}", None)
        _send(url, f"/v1/nothing/{urllib.parse.quote(one.text)}?q={one.text.encode().hex()}", b"")
        _send(url, "/v1/track", one.event[:-1])  # cut off
        _send(url, "/v1/track", one.event, **{"User-Agent": f"Agent {one.text}"})


@pytest.mark.slow
@pytest.mark.timeout(300)
@sizes("number", small=450, full=1000)
def test_nothing_personal_is_left_anywhere(
    tmp_path: Path, vendor: tuple[str, list[bytes]], number: int
) -> None:
    """No planted personal value is stored, logged, counted or sent.

    This holds with the default settings, while deliveries fail and are refused, after SIGKILL, and
    after the next start.
    """
    vendor_url, received = vendor
    planted = plant(range(number))
    assert len({one.text for one in planted}) == number > len(KINDS) * len(PLACES)
    with GatewayProcess(tmp_path, _config(vendor_url)) as gateway:
        _send_all(gateway.url, planted)
        for destination in ("files", "hook", "refusing"):
            gateway.wait_delivered(destination, 60)
        with urllib.request.urlopen(gateway.url + "/metrics") as answer:
            metrics = answer.read()
        with urllib.request.urlopen(gateway.url + "/health") as answer:
            metrics += answer.read()
        accepted = gateway.get("/health")["queue"]["stored_events"]
        gateway.kill()
        blobs = {"after SIGKILL": everything_in(tmp_path), "metrics": metrics}
        gateway.start()
        _send(gateway.url, "/v1/track", b'{"event":"Last","userId":"u"}')
        gateway.stop()
    blobs |= {"after a restart": everything_in(tmp_path), "sent": b"\0".join(received)}

    assert {name: found for name, blob in blobs.items() if (found := found_in(blob, planted))} == {}
    assert any(data.startswith(b"/failing") for data in received)
    assert b"***" in blobs["sent"]
    assert b"jane" not in blobs["sent"]
    assert accepted > number / 2


def test_what_is_planted_would_be_found() -> None:
    """The search finds each planted value in its own event, so the search itself works."""
    planted = plant(range(1000))

    missed = [
        one for one in planted if one.event.find(b"\\u0") < 0 and not found_in(one.event, [one])
    ]

    assert [one for one in missed if one.place not in ("json", "json twice", "escaped json")] == []
