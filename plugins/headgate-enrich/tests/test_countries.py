"""The user's own file of countries, and what becomes of it while the gateway runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway import ConfigError
from headgate_enrich.countries import Countries

Write = Callable[..., Path]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def countries(path: Path, clock: Clock) -> Countries:
    """Opens a file, which is looked at every ten seconds."""
    log = structlog.get_logger()
    return Countries(path, log, check_seconds=10, max_cached=2, clock=clock)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "DE"}}, "DE"),
        ({"country_code": "FR", "country": "France"}, "FR"),
        ({"country": "SE"}, "SE"),
        ({"country": "Sweden"}, None),
        ({}, None),
    ],
)
def test_each_vendors_form_is_read(
    write_countries: Write, record: dict[str, Any], expected: str | None
) -> None:
    """Vendors put the code in different places; what is no code is no country."""
    found = countries(write_countries({"192.0.2.1": record}), Clock())
    assert [found.of(a) for a in ("192.0.2.1", "192.0.2.2", "::1", "none", "")] == [
        expected,
        None,
        None,
        None,
        None,
    ]


def test_a_changed_file_is_read_anew(write_countries: Write) -> None:
    """A change counts after the interval, without a restart."""
    clock = Clock()
    found = countries(write_countries({"192.0.2.1": {"country": "DE"}}), clock)
    write_countries({"192.0.2.1": {"country": "SE"}})
    assert found.of("192.0.2.1") == "DE"
    clock.now = 10
    found.of("192.0.2.1")
    found.settle()
    assert found.of("192.0.2.1") == "SE"


@pytest.mark.parametrize("broken", [b"", b"no database", None])
def test_a_broken_file_changes_nothing(write_countries: Write, broken: bytes | None) -> None:
    """The countries before stay in use, the log says so once, and a mended file is taken."""
    clock = Clock()
    path = write_countries({"192.0.2.1": {"country": "DE"}})
    found = countries(path, clock)
    path.unlink() if broken is None else path.write_bytes(broken)
    with capture_logs() as logs:
        for clock.now in (10, 20):
            assert found.of("192.0.2.1") == "DE"
            found.settle()
    assert [line["log_level"] for line in logs] == ["error"]
    write_countries({"192.0.2.1": {"country": "SE"}})
    clock.now = 30
    found.of("192.0.2.1")
    found.settle()
    assert found.of("192.0.2.1") == "SE"


@pytest.mark.parametrize("content", [b"no database", None])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    """The config names a file that is missing or broken: the error names it."""
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"geo_file: .*countries\.mmdb"):
        countries(path, Clock())
