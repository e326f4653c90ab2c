"""What a request to the administration API may cost, whatever its token allows."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN
from tests.support.raw_http import exchange

CONFIG = f"""
[server]
port = 0
body_timeout_seconds = 0.3
[admin]
token = "{ADMIN_TOKEN}"
max_body_bytes = 10_000
body_timeout_seconds = 0.3
max_tails = 2
tail_max_bytes = 300_000
tail_stall_seconds = 0.5
[log]
format = "json"
[sources.web]
type = "segment"
write_key = "demo"
[destinations.all]
type = "null"
"""

BIG = "9" * 30
WHICH = '{"which": {%s}}'
REPLAY = '{"destination": "all", "dry_run": true, %s}'


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("admin"), CONFIG) as gateway:
        yield gateway
        assert "Traceback" not in gateway.stderr
        assert '"exception"' not in gateway.stderr


def head(method: str, path: str, *headers: str) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {ADMIN_TOKEN}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def status(gateway: GatewayProcess, path: str, body: bytes | None = None, *more: str) -> int:
    """The status of the answer to a request, a POST if it has a body."""
    if body is None:
        return exchange(gateway.url, head("GET", path, "Connection: close", *more))[0].status
    length = f"Content-Length: {len(body)}"
    data = head("POST", path, length, "Connection: close", *more) + body
    return exchange(gateway.url, data)[0].status


def test_a_body_is_bounded_in_bytes(gateway: GatewayProcess) -> None:
    """A body over `max_body_bytes` is refused: announced, in chunks, or once decompressed."""
    large = b"{" + b" " * 10_000 + b"}"
    assert status(gateway, "/admin/dead/list", large) == 413
    chunk = b"%x\r\n%s\r\n" % (len(large), large)
    data = head("POST", "/admin/dead/list", "Transfer-Encoding: chunked") + 20 * chunk
    assert exchange(gateway.url, data)[0].status == 413
    small = gzip.compress(large)
    assert status(gateway, "/admin/dead/list", small, "Content-Encoding: gzip") == 413
    assert (
        status(gateway, "/admin/dead/list", gzip.compress(b"{}"), "Content-Encoding: gzip") == 200
    )


def test_a_body_is_bounded_in_time(gateway: GatewayProcess) -> None:
    """A body that is not complete within `body_timeout_seconds` is answered 408."""
    began = time.monotonic()
    data = head("POST", "/admin/dead/list", "Content-Length: 100") + b"{"
    assert exchange(gateway.url, data)[0].status == 408
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/admin/audit?limit={BIG}", None),
        (f"/admin/audit?before={BIG}", None),
        (f"/admin/audit?before={2**63}", None),
        (f"/admin/audit?limit={'9' * 5000}", None),
        (f"/admin/privacy?since_ms={BIG}", None),
        ("/admin/dead/list", f'{{"limit": {BIG}}}'),
        ("/admin/dead/list", '{"limit": -1}'),
        ("/admin/dead/list", WHICH % f'"ids": [{BIG}]'),
        ("/admin/dead/count", WHICH % f'"since_ms": {2**63}'),
        ("/admin/dead/count", WHICH % f'"until_ms": -{BIG}'),
        ("/admin/dead/drop", WHICH % '"until_ms": 1e999'),
        ("/admin/replays", REPLAY % f'"from_ms": {BIG}, "to_ms": 1'),
        ("/admin/replays", REPLAY % f'"from_ms": 0, "to_ms": {2**63}'),
        ("/admin/replays", REPLAY % '"from_ms": 0, "to_ms": 1, "rate": -1'),
        ("/admin/explain", '{"event": %s}' % (4000 * "[" + 4000 * "]")),
    ],
)
def test_numbers_are_bounded(gateway: GatewayProcess, path: str, body: str | None) -> None:
    """A number that no 64 bits can hold, or a text that nests too deep, is answered 400."""
    assert status(gateway, path, None if body is None else body.encode()) == 400


@pytest.mark.parametrize("value", [BIG, "1e400", "-1e999", "[" * 900 + "]" * 900])
def test_events_may_have_any_number(gateway: GatewayProcess, value: str) -> None:
    """An event with a number of any size can be explained, without a defect."""
    event = f'{{"type":"track","userId":"u","event":"e","properties":{{"n":{value}}}}}'
    assert status(gateway, "/admin/explain", f'{{"event":{event}}}'.encode()) in (200, 400)


def test_tails_are_bounded(gateway: GatewayProcess) -> None:
    """A reader over `max_tails` is refused; one that stalls is disconnected, and makes room."""
    event = {"type": "track", "userId": "u", "event": "e", "properties": {"p": "x" * 2000}}
    body = json.dumps({"batch": [event] * 100, "writeKey": "demo"}).encode()
    address = urlsplit(gateway.url)
    readers = [socket.create_connection((address.hostname, address.port), 10) for _ in range(2)]
    try:
        for reader in readers:
            reader.sendall(head("GET", "/admin/tail"))
            assert b" 200 OK" in reader.recv(100)
        assert another_tail(gateway) == 429
        deadline = time.monotonic() + 20
        while another_tail(gateway) == 429:
            assert status(gateway, "/v1/batch", body, "Content-Type: text/plain") == 200
            assert time.monotonic() < deadline, "nobody who stalls is disconnected"
    finally:
        for reader in readers:
            reader.close()


def test_readers_that_leave_are_no_defect(gateway: GatewayProcess) -> None:
    """A reader that leaves while lines wait for it makes room, and no line in the log."""
    before = gateway.stderr
    deadline = time.monotonic() + 10
    for _ in range(5):
        while another_tail(gateway) == 429:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert gateway.stderr == before


def another_tail(gateway: GatewayProcess) -> int:
    """The status of the answer to another reader, who leaves at once."""
    address = urlsplit(gateway.url)
    with socket.create_connection((address.hostname, address.port), 10) as reader:
        reader.sendall(head("GET", "/admin/tail"))
        return int(reader.recv(20).split()[1])
