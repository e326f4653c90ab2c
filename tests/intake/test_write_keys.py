"""Limits of write keys: origins, types, rate, and an end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.load import load
from gateway.config.settings import KeySettings, SourceSettings
from gateway.errors import ConfigError
from gateway.http.token_bucket import TokenBucket
from gateway.intake.write_keys import Key, Keys
from gateway.testing import ManualClock
from tests.support.gateway_process import GatewayProcess
from tests.support.raw_http import Answer, basic, exchange, request

EVENT = b'{"userId":"u","event":"E"}'
CONFIG = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "open"
[[sources.web.keys]]
key = "page"
origins = ["https://shop.example.com", "https://*.apps.example.com"]
[[sources.web.keys]]
key = "views"
types = ["page", "screen"]
[[sources.web.keys]]
key = "slow"
max_events_per_second = 0.01
burst = 3
[[sources.web.keys]]
key = "over"
not_after = 2020-01-01T00:00:00Z
[[sources.web.keys]]
key = "off"
enabled = false
[destinations.files]
type = "file"
path = "events"
"""


def key(**settings: Any) -> Key:
    return Key("web", KeySettings(key="k", **settings), 0)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example.com", True),
        ("HTTPS://Shop.Example.com", True),
        ("https://a.apps.example.com", True),
        ("https://a.b.apps.example.com", True),
        ("https://apps.example.com", False),
        ("https://.apps.example.com", False),
        ("http://shop.example.com", False),
        ("https://shop.example.com:8443", False),
        ("https://shop.example.com.evil.org", False),
        ("https://evilapps.example.com", False),
        ("http://a.apps.example.com", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_the_pages_that_are_named(origin: str, allowed: bool) -> None:
    """An origin is compared as a whole; a star stands for one or more labels."""
    origins = ("https://shop.example.com", "https://*.apps.example.com")
    assert key(origins=origins).allows_origin({"Origin": origin}) is allowed
    assert key().allows_origin({"Origin": origin})


def test_a_picture_tells_its_page_by_referer() -> None:
    """Without an Origin header, the Referer decides."""
    limited = key(origins=("https://shop.example.com",))
    assert limited.allows_origin({"Referer": "https://shop.example.com/cart?x=1"})
    assert not limited.allows_origin({"Referer": "https://evil.org/https://shop.example.com"})
    assert not limited.allows_origin({"Referer": "https://[bad"})
    assert not limited.allows_origin(
        {"Origin": "https://evil.org", "Referer": "https://shop.example.com/"}
    )


def test_a_bucket_lets_in_whole_requests_or_none() -> None:
    """A refused request takes no tokens, and one larger than the bucket needs a full one."""
    bucket = TokenBucket(10, 20, 0)
    assert bucket.take(15, 0) == 0
    assert bucket.take(10, 0) == pytest.approx(0.5)
    assert bucket.take(5, 0) == 0
    assert bucket.take(50, 1_900) == pytest.approx(0.1)
    assert bucket.take(50, 2_000) == 0
    assert bucket.take(1, 2_000) == pytest.approx(3.1)
    assert bucket.take(1, 1_000) == pytest.approx(3.1), "a clock set back"


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3_000)), max_size=60))
def test_no_more_comes_in_than_the_rate_allows(requests: list[tuple[int, int]]) -> None:
    """Over any time, events are at most burst + rate * time + one request."""
    bucket, now, taken = TokenBucket(10, 20, 0), 0, 0
    for events, pause_ms in requests:
        now += pause_ms
        wait = bucket.take(events, now)
        if wait == 0:
            taken += events
        assert taken <= 20 + 10 * now / 1000 + 30
        assert wait <= (20 + 30) / 10 + 1


def test_a_key_ends_when_it_is_said_to() -> None:
    """A key ends at its time to the millisecond, and two keys of a source may overlap."""
    clock = ManualClock()
    end = datetime.fromtimestamp(clock.now_ms / 1000 + 60, UTC)
    keys = Keys(
        {
            "web": SourceSettings(
                type="x", write_key="new", keys=(KeySettings(key="old", not_after=end),)
            )
        },
        clock,
    )
    clock.advance(59.999)
    assert keys.find("old") is not None
    clock.advance(0.001)
    assert keys.find("old") is None
    assert keys.find("new") is not None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('origins = ["shop.example.com"]', r"sources\.web\.keys\[0\]\.origins\[0\]"),
        ('origins = ["https://shop.example.com/"]', r"keys\[0\]\.origins\[0\]"),
        ('types = ["click"]', r"keys\[0\]\.types\[0\]"),
        ("max_events_per_second = -1", r"keys\[0\]\.max_events_per_second"),
        ("not_after = 2026-01-01T00:00:00", r"keys\[0\]\.not_after"),
        ('rate = "1"', r"keys\[0\].*no key 'rate'"),
        ("enabled = 1", r"keys\[0\]\.enabled"),
    ],
)
def test_errors_name_the_key_of_config(tmp_path: Path, lines: str, message: str) -> None:
    """A config error names the key and the place of the entry."""
    path = tmp_path / "config.toml"
    path.write_text(f'[sources.web]\ntype = "segment"\n[[sources.web.keys]]\nkey = "k"\n{lines}\n')
    with pytest.raises(ConfigError, match=message):
        load(path, {})


def test_the_same_key_twice_is_an_error(tmp_path: Path) -> None:
    """The same write key twice is an error, in one source or in two."""
    path = tmp_path / "config.toml"
    table = '[sources.{}]\ntype = "segment"\nwrite_key = "{}"\n[[sources.{}.keys]]\nkey = "k"\n'
    path.write_text(table.format("a", "k", "a"))
    with pytest.raises(ConfigError, match=r"sources\.a\.keys: the same key"):
        load(path, {})
    path.write_text(table.format("a", "x", "a") + table.format("b", "y", "b"))
    with pytest.raises(
        ConfigError, match=r"sources\.b\.keys\[0\]\.key: is also the key of sources\.a"
    ):
        load(path, {})


def test_a_gateway_keeps_to_the_limits(tmp_path: Path) -> None:
    """A client sees each limit, and the ledger counts refused and discarded events."""
    with GatewayProcess(tmp_path, CONFIG) as gateway:

        def post(write_key: str, *headers: bytes) -> Answer:
            data = request(EVENT, basic(write_key), *headers)
            [answer] = exchange(gateway.url, data)
            return answer

        assert post("open").status == 200
        assert post("page").status == 400
        assert post("page", b"Origin: https://shop.example.com").status == 200
        assert post("over").status == post("off").status == 401
        assert post("views").status == 200
        assert [post("slow").status for _ in range(4)] == [200, 200, 200, 429]
        refused = post("slow")
        assert refused.headers["retry-after"] == refused.headers["x-ratelimit-reset"]
        assert 90 <= int(refused.headers["retry-after"]) <= 100
        name = "headgate_events_discarded_total"
        assert gateway.metric(name, source="web", code="type_not_allowed") == 1
        assert gateway.metric("headgate_events_refused_total", source="web") == 2
        assert gateway.metric("headgate_events_accepted_total", source="web") == 5
