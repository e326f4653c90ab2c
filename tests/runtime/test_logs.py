"""Logging."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import pytest
import structlog

from gateway.components.settings import Secret
from gateway.config.settings import LogConfig
from gateway.runtime.logs import configure_logging

TOKEN = "tok-5b1f"
ADDRESS = "ada@example.com"
REASON = "br" + "oken"  # which then does not stand in a line of source that a traceback quotes


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restores the standard library's root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def configured(
    format: Literal["auto", "console", "json"] = "json",  # noqa: A002
    level: Literal["debug", "info", "warning", "error"] = "info",
) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogConfig(level=level, format=format), stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(events: list[str], token: str) -> None:
    assert events
    assert token
    raise ValueError(REASON)


@pytest.mark.parametrize("name", ["json", "auto"])
def test_json_is_one_object_a_line(name: Any) -> None:
    """Without a terminal each line is a JSON object with time, level and event."""
    stream = configured(name)
    structlog.get_logger().bind(component="crm").warning("destination fails", failing_seconds=3)
    structlog.get_logger().info("two\nlines", path=object)
    first, second = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first.pop("timestamp"))
    assert first == {
        "event": "destination fails",
        "level": "warning",
        "component": "crm",
        "failing_seconds": 3,
    }
    assert second["event"] == "two\nlines"


def test_console_is_for_reading() -> None:
    """The console format is text, without colours unless the stream is a terminal."""
    stream = configured("console")
    structlog.get_logger().warning("destination fails", destination="crm")
    text = stream.getvalue()
    assert "destination fails" in text
    assert "destination=crm" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels(level: Any) -> None:
    """Lines below the configured level are not written."""
    stream = configured(level=level)
    log = structlog.get_logger()
    order = ["debug", "info", "warning", "error"]
    for name in order:
        getattr(log, name)("x")
    assert [line["level"] for line in lines(stream)] == order[order.index(level) :]


@pytest.mark.parametrize("format_", ["json", "console"])
def test_tracebacks_show_no_variables(format_: Any) -> None:
    """A traceback shows no local variables, which may hold events and credentials."""
    stream = configured(format_)
    try:
        fail([ADDRESS], TOKEN)
    except ValueError as error:
        structlog.get_logger().error("the store failed", exc_info=error)
        structlog.get_logger().exception("again")
        logging.getLogger("aiohttp.server").exception("Error handling request")
    text = stream.getvalue()
    assert text.count("broken") == 3
    assert "test_logs.py" in text
    assert ADDRESS not in text
    assert TOKEN not in text
    if format_ == "json":
        assert all("frames" in line["exception"][0] for line in lines(stream))


@pytest.mark.parametrize("format_", ["json", "console"])
def test_secrets_show_nowhere(format_: Any) -> None:
    """A secret is masked wherever it stands in a log line."""

    class Config(msgspec.Struct, frozen=True):
        token: Secret

    stream = configured(format_)
    secret = Secret(TOKEN)
    structlog.get_logger().bind(bound=secret).error(
        "x", token=secret, nested={"list": [secret]}, config=Config(secret)
    )
    logging.getLogger("aiohttp").error("token %s %r", secret, Config(secret))
    text = stream.getvalue()
    assert TOKEN not in text
    assert text.count("***") >= 6


def test_libraries_speak_when_something_is_wrong() -> None:
    """Loggers of dependencies write warnings and errors in the same format, whatever our level."""
    stream = configured(level="debug")
    logging.getLogger("aiohttp.access").info("GET /")
    logging.getLogger("aiohttp.server").warning("bad %s", "request")
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("bad request", "warning")
    assert "timestamp" in line


def test_configuring_again_replaces() -> None:
    """A second configuration replaces the first: nothing is written twice."""
    first, second = configured(), configured()
    logging.getLogger("aiohttp").error("x")
    structlog.get_logger().error("y")
    assert first.getvalue() == ""
    assert len(lines(second)) == 2
