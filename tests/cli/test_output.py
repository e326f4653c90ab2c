"""No command and no log passes on to the terminal what somebody has sent."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from threading import Timer

import click
import pytest
import structlog
from rich.table import Table

from gateway.cli.console import Console
from gateway.cli.options import explained_errors
from gateway.cli.output import print_json, say
from gateway.config.settings import LogConfig
from gateway.errors import GatewayError
from gateway.runtime.logs import configure_logging
from tests.support.commands import gateway_command
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, send_track

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e\u2028"
CONFIG = f"""
[server]
port = 0
[admin]
token = "{ADMIN_TOKEN}"
[sources.web]
type = "segment"
write_key = "demo"
[destinations.all]
type = "null"
[destinations.down]
type = "webhook"
url = "http://127.0.0.1:9/nobody"
retry = {{ initial_seconds = 0.01, max_seconds = 0.02, max_attempts = 1, max_age_seconds = 0.05 }}
"""


def acted_on(text: str) -> set[str]:
    """The characters of an output that a terminal would act on."""
    return {c for c in text if not c.isprintable() and c != "\n"}


def test_a_console_acts_on_its_own_colours_only() -> None:
    """Markup, tables and JSON have escapes in place of what a text brings; colours stay."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", width=200)
    table = Table("heading" + EVIL)
    table.add_row(EVIL)
    console.print(table)
    console.print(f"[bold red]{EVIL}[/]")
    console.print_json(json.dumps({"a": EVIL}))
    text = file.getvalue()
    assert "\x1b[" in text
    assert not acted_on(re.sub(r"\x1b\[[0-9;]*m", "", text))


def test_texts_json_and_errors_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """What commands print line by line is escaped, and JSON stays the same value."""
    say(f"a\n{EVIL}")
    print_json({"a": EVIL})
    printed = capsys.readouterr().out
    assert not acted_on(printed)
    assert json.loads(printed.splitlines()[-1]) == {"a": EVIL}
    with pytest.raises(click.ClickException) as caught, explained_errors():
        raise GatewayError(EVIL)
    caught.value.show()
    assert not acted_on(capsys.readouterr().err)


def test_log_lines_are_escaped() -> None:
    """On a terminal and in JSON a log line shows escapes, also in an exception."""
    for format_ in ("console", "json"):
        stream = io.StringIO()
        configure_logging(LogConfig(format=format_), stream)  # type: ignore[arg-type]
        try:
            raise ValueError(EVIL)
        except ValueError:
            structlog.get_logger().exception(EVIL, detail=EVIL, several=[EVIL])
        assert not acted_on(stream.getvalue())


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("evil"), CONFIG) as gateway:
        event = {"userId": f"u{EVIL}", "event": f"e{EVIL}", "properties": {EVIL: EVIL}}
        send_track(gateway, messageId="m", **event)
        (gateway.folder / "event.json").write_text(json.dumps({"type": "track", **event}))
        gateway.wait_delivered("down")
        yield gateway


@pytest.mark.parametrize(
    "command",
    [
        "dead list",
        "dead show",
        "dead show --json",
        "why m --event",
        "why m --json",
        "explain event.json --event",
        "explain event.json --json",
        "explain m --event",
        "privacy scan",
        "privacy scan --json",
        "status",
        "ledger",
        "queue inspect",
        "queue inspect --json",
    ],
)
def test_no_command_shows_what_a_client_has_sent(gateway: GatewayProcess, command: str) -> None:
    """Whatever a command shows of an event is escaped."""
    _, output = gateway_command(gateway.folder, *command.split())
    assert not acted_on(output)


def test_the_live_tail_is_escaped(gateway: GatewayProcess) -> None:
    """`tail --json` shows escapes, and the value stays the same."""
    again = Timer(1.0, send_track, [gateway], {"userId": "u", "event": EVIL})
    again.start()
    _, output = gateway_command(gateway.folder, "tail", "--json", "--limit", "1")
    again.join()
    assert not acted_on(output)
    assert json.loads(output)["event"]["event"] == EVIL
