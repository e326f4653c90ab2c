"""Attacks on the wire have no effect on a running gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attack_harness import APP, AttackHarness, attack_harness, event
from tests.support.raw_http import request


@pytest.fixture(name="harness", scope="module")
def _harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackHarness]:
    with attack_harness(tmp_path_factory.mktemp("security")) as harness:
        yield harness


def head(*lines: bytes, path: bytes = b"/v1/track", method: bytes = b"POST") -> bytes:
    """Makes the head of a request from these lines."""
    first = method + b" " + path + b" HTTP/1.1"
    return b"\r\n".join([first, b"Host: gateway.example", APP, *lines, b"", b""])


INNER = b"GET /admin/status HTTP/1.1\r\nHost: gateway.example\r\n\r\n"
"""What is to be smuggled past a proxy in the body of another request."""

CHUNKED = b"0\r\n\r\n" + INNER
SMUGGLED = [
    pytest.param(
        head(b"Content-Length: %d" % len(CHUNKED), b"Transfer-Encoding: chunked") + CHUNKED,
        id="CL and TE",
    ),
    pytest.param(
        head(b"Transfer-Encoding: chunked", b"Content-Length: 6") + CHUNKED, id="TE and CL"
    ),
    pytest.param(
        head(b"Content-Length: 0", b"Content-Length: %d" % len(INNER)) + INNER, id="two CLs"
    ),
    pytest.param(head(b"Content-Length: 0, %d" % len(INNER)) + INNER, id="a list of CLs"),
    pytest.param(head(b"Content-Length: +2") + b"{}" + INNER, id="a CL with a sign"),
    pytest.param(head(b"Content-Length: 0x2") + b"{}" + INNER, id="a CL in hexadecimal"),
    pytest.param(head(b"Content-Length: -1") + INNER, id="a CL below zero"),
    pytest.param(head(b"Content-Length : 2") + b"{}" + INNER, id="a space before the colon"),
    pytest.param(head(b"Transfer-Encoding: xchunked") + CHUNKED, id="an unknown TE"),
    pytest.param(
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + CHUNKED,
        id="two TEs",
    ),
    pytest.param(head(b"Transfer-Encoding: chunked") + b"-1\r\n" + INNER, id="a chunk below 0"),
    pytest.param(head(b"X-A: b", b" folded: c", b"Content-Length: 0") + INNER, id="obs-fold"),
    pytest.param(head(b"X-A: b\nContent-Length: 0") + INNER, id="a bare LF"),
    pytest.param(head(b"X-A: b\rContent-Length: 0") + INNER, id="a bare CR"),
    pytest.param(head(b"X-A: b\0c", b"Content-Length: 0") + INNER, id="a NUL"),
    pytest.param(head(b"X A: b", b"Content-Length: 0") + INNER, id="a space in a name"),
]


@pytest.mark.parametrize("data", SMUGGLED)
def test_framing_that_two_readers_may_read_differently_is_refused(
    harness: AttackHarness, data: bytes
) -> None:
    """Ambiguous framing gets one answer, 400, and the connection is closed."""
    answers = harness.send(data)
    assert [answer.status for answer in answers] == [400]
    harness.check()


def test_a_head_is_bounded(harness: AttackHarness) -> None:
    """A header beyond the bound is refused before it is stored."""
    answers = harness.send(request(event(), APP, b"X-Long: " + b"a" * 20_000))
    assert [answer.status for answer in answers] == [400]
    harness.check()


REFLECTED = (b"Origin", b"Access-Control-Request-Headers", b"Referer", b"User-Agent")


@pytest.mark.parametrize("name", REFLECTED)
@pytest.mark.parametrize(
    "value",
    [
        b"https://a\r\nX-Injected: 1",
        b"https://a\nX-Injected: 1",
        b"https://a\rX-Injected: 1",
        b"https://a%0d%0aX-Injected: 1",
        b"https://a\xc4\x8d\xc4\x8aX-Injected: 1",
        b"https://a\x85X-Injected: 1",
        b"https://a\0X-Injected: 1",
        b"<script>alert(1)</script>",
    ],
)
@pytest.mark.parametrize("method", [b"OPTIONS", b"GET"])
def test_nothing_can_be_put_into_the_headers_of_an_answer(
    harness: AttackHarness, name: bytes, value: bytes, method: bytes
) -> None:
    """An echoed value cannot begin a new header line, with any kind of line end."""
    origin = b"" if name == b"Origin" else b"Origin: https://a\r\n"
    data = (
        method
        + b" /v1/track HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n"
        + origin
        + name
        + b": "
        + value
        + b"\r\n\r\n"
    )
    for answer in harness.send(data):
        assert "x-injected" not in answer.headers
        assert b"<script" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        b"/../../../../etc/passwd",
        b"/v1/../../config.toml",
        b"/%2e%2e/%2e%2e/config.toml",
        b"/v1/..%2f..%2fconfig.toml",
        b"/analytics.js/../../config.toml",
        b"/analytics-next/..%2f..%2f..%2fetc%2fpasswd",
        b"/v1/projects/..%2f..%2fconfig.toml/settings",
        b"//etc/passwd",
        b"/v1/%00",
        b"/config.toml",
        b"/data/state.sqlite",
        b"/v1/track;/../admin/status",
    ],
)
def test_no_path_leads_to_a_file(harness: AttackHarness, path: bytes) -> None:
    """No path leads to a file on disk."""
    data = b"GET " + path + b" HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n\r\n"
    [answer] = harness.send(data)
    assert answer.status in (400, 404, 405)
    assert b"root:" not in answer.body
    assert b"[sources" not in answer.body
    assert b"SQLite" not in answer.body


@pytest.mark.parametrize(
    "path", [b"/health", b"/version", b"/nothing", b"/v1/nothing", b"/metrics"]
)
def test_answers_say_what_they_are_and_no_more(harness: AttackHarness, path: bytes) -> None:
    """Answers forbid guessing the content type, and do not name the software of the server."""
    data = b"GET " + path + b" HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n\r\n"
    [answer] = harness.send(data)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "python" not in answer.headers.get("server", "").lower()
    assert "aiohttp" not in answer.headers.get("server", "").lower()


def test_a_write_key_opens_nothing_but_its_source(harness: AttackHarness) -> None:
    """A write key, in any header, gives no access to administration or stored events."""
    for path in (b"/admin/status", b"/admin/tail", b"/admin/regulations", b"/admin/dead/list"):
        for header in (APP, b"Authorization: Bearer app-key"):
            data = head(header, b"Connection: close", path=path, method=b"GET")
            [answer] = harness.send(data)
            assert answer.status in (400, 401, 404)
            assert b"userId" not in answer.body
    harness.check()


def test_each_claim_of_the_threat_model_has_its_test() -> None:
    """Every test that docs/operate/security.md names exists."""
    tests = Path(__file__).parents[1]
    page = (tests.parent / "docs" / "operate" / "security.md").read_text(encoding="utf-8")
    model = page.partition("## THREAT_MODEL")[2]
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)(?:::(\w+))?`", model)
    assert len(named) > 15
    for file, name in named:
        assert f"def {name}" in (tests / file).read_text(encoding="utf-8"), (file, name)
    rows = [line for line in model.splitlines() if line.startswith("| ") and "---" not in line]
    assert [row for row in rows[2:] if "test" not in row and "authentication" not in row] == []
