"""`gateway send`: one event, files, streams, and their target."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from gateway.cli.commands.send import send, target
from gateway.cli.upload import MAX_REPORTED
from gateway.server.app import serving
from gateway.testing import Answer, FakeVendor
from tests.support.in_process import make_gateway

OK = Answer(json={"success": True})
CONFIG = """
[server]
host = "0.0.0.0"
port = 9999
prefix = "/ingest"

[sources.old]
type = "segment"
write_key = "old"
enabled = false

[sources.pixel]
type = "pixel"
write_key = "pixel"

[sources.web]
type = "segment"
write_key = ["first", "second"]
"""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps config files of this machine out of the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)


async def run(*arguments: str) -> Result:
    """Runs the command in a thread, as it runs its own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, send, arguments)


def received(vendor: FakeVendor) -> list[dict[str, Any]]:
    return [event for request in vendor.requests for event in request.json()["batch"]]


def track(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Viewed", "userId": f"user-{number}", **more}


def write(path: Path, *lines: object) -> Path:
    """Writes a file of lines: bytes as they are, other values as JSON."""
    encoded = [line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in encoded))
    return path


# -- one event -----------------------------------------------------------------


async def test_one_event_from_options() -> None:
    """Options become an event with a new id; values that are JSON are read as JSON."""
    async with FakeVendor(default=OK) as vendor:
        result = await run(
            *("--url", vendor.url, "--write-key", "k", "--event", "Order Completed"),
            *("--user", "ada", "--prop", "revenue=25", "--prop", "note=a=b", "--prop", "tags=[1]"),
        )
        (event,) = received(vendor)
    assert result.exit_code == 0, result.output
    assert (event["type"], event["event"], event["userId"]) == ("track", "Order Completed", "ada")
    assert event["properties"] == {"revenue": 25, "note": "a=b", "tags": [1]}
    assert event["messageId"] in result.stdout


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (
            ["--type", "identify", "--user", "ada", "--prop", "email=a@b.example"],
            {"userId": "ada", "traits": {"email": "a@b.example"}},
        ),
        (
            ["--type", "group", "--user", "ada", "--group", "g", "--prop", "plan=team"],
            {"userId": "ada", "groupId": "g", "traits": {"plan": "team"}},
        ),
        (
            ["--type", "page", "--anonymous", "a-1", "--name", "Home", "--category", "Shop"],
            {"anonymousId": "a-1", "name": "Home", "category": "Shop"},
        ),
        (
            ["--type", "alias", "--user", "ada", "--previous", "a-1"],
            {"userId": "ada", "previousId": "a-1"},
        ),
    ],
)
async def test_every_type_of_event(options: list[str], fields: dict[str, Any]) -> None:
    """Each type's own fields have an option; properties of people and groups are traits."""
    async with FakeVendor(default=OK) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", *options)
        (event,) = received(vendor)
    assert result.exit_code == 0, result.output
    assert event["type"] == options[1]
    assert fields.items() <= event.items()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "either a FILE or the options"),
        (["--event", "x", "file.ndjson"], "either a FILE or the options"),
        (["--event", "x"], "needs `userId` or `anonymousId`"),
        (["--user", "ada"], "needs a name in `event`"),
        (["--event", "x", "--user", "ada", "--prop", "novalue"], "KEY=VALUE"),
        (["--event", "x", "--user", "ada", "--prop", "=5"], "KEY=VALUE"),
        (["--event", "x" * 40_000, "--user", "ada"], "over 32768"),
    ],
)
async def test_wrong_use_sends_nothing(tmp_path: Path, options: list[str], said: str) -> None:
    """Options that make no event are refused before anything is sent; exit code 2."""
    write(tmp_path / "file.ndjson", track(1))
    async with FakeVendor(default=OK) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", *options)
        assert vendor.requests == []
    assert result.exit_code == 2
    assert said in result.stderr


async def test_a_refusal_is_an_error() -> None:
    """A wrong write key gives exit code 1 and the gateway's message."""
    async with FakeVendor(Answer(status=401, json={"message": "unknown write key"})) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", "--event", "x", "--user", "a")
    assert result.exit_code == 1
    assert "HTTP 401: unknown write key" in result.stderr


async def test_an_address_that_is_none_is_wrong_use() -> None:
    """A wrong address gives exit code 2 and names the option."""
    result = await run("--url", "nonsense", "--write-key", "k", "--event", "x", "--user", "a")
    assert result.exit_code == 2
    assert "--url" in result.stderr


# -- files -----------------------------------------------------------------------


async def test_a_file_is_sent_in_order_and_within_limits(tmp_path: Path) -> None:
    """All events arrive once, in order, in batches of at most 2500 events and 500 KB."""
    events = [track(n, properties={"pad": "x" * (n % 500)}) for n in range(6000)]
    file = write(tmp_path / "events.ndjson", *events)
    async with FakeVendor(default=OK) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", str(file))
        assert [event["userId"] for event in received(vendor)] == [e["userId"] for e in events]
        for request in vendor.requests:
            assert len(request.body) <= 500_000
            assert len(request.json()["batch"]) <= 2500
        assert result.stdout == f"accepted 6000 events in {len(vendor.requests)} requests\n"
    assert result.exit_code == 0


async def test_bad_lines_are_named_and_left_out(tmp_path: Path) -> None:
    """Each bad line is reported with file, number and reason; the others are sent; exit code 1."""
    file = write(
        tmp_path / "events.ndjson",
        track(1),
        b"nonsense",
        b"",
        b"[1]",
        {"type": "track", "event": "x"},
        track(2, properties={"pad": "x" * 40_000}),
        b"x" * 2_000_000,
        track(3),
    )
    async with FakeVendor(default=OK) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", str(file))
        assert [event["userId"] for event in received(vendor)] == ["user-1", "user-3"]
    assert result.exit_code == 1
    reported = [line.split(": ", 1) for line in result.stderr.splitlines()]
    assert [where.rpartition(":")[2] for where, _ in reported] == ["2", "4", "5", "6", "7"]
    assert [why.split(" (")[0].split(",")[0] for _, why in reported] == [
        "is not JSON: JSON is malformed: invalid character",
        "is not a JSON object",
        "would be discarded: needs `userId` or `anonymousId`",
        "has 40135 bytes",
        "has over 32768 bytes",
    ]
    assert result.stdout == "accepted 2 events in 1 requests; 5 lines were not\n"


async def test_reports_are_bounded(tmp_path: Path) -> None:
    """A file of bad lines only does not flood the screen."""
    file = write(tmp_path / "events.ndjson", *[b"nonsense"] * 500)
    async with FakeVendor(default=OK) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", str(file))
        assert vendor.requests == []
    assert len(result.stderr.splitlines()) == MAX_REPORTED + 1
    assert "500 lines were not" in result.stdout


async def test_sending_a_file_again_repeats_the_ids(tmp_path: Path) -> None:
    """Events without messageId get the same one in both runs; others keep theirs."""
    file = write(tmp_path / "a.ndjson", track(1), track(1), track(2, messageId="mine"))
    async with FakeVendor(default=OK) as vendor:
        for _ in range(2):
            result = await run("--url", vendor.url, "--write-key", "k", str(file))
            assert result.exit_code == 0, result.output
        ids = [event["messageId"] for event in received(vendor)]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


async def test_a_busy_gateway_is_waited_for(tmp_path: Path) -> None:
    """After a 503 the same batch is sent again with the same ids, and the wait is shown."""
    file = write(tmp_path / "a.ndjson", track(1), track(2))
    busy = Answer(status=503, headers={"Retry-After": "0.01"}, json={"message": "queue is full"})
    async with FakeVendor(busy, default=OK) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", str(file))
        first, second = (request.json()["batch"] for request in vendor.requests)
    assert first == second
    assert "HTTP 503: queue is full; trying again in 0.0 s" in result.stderr
    assert result.exit_code == 0


async def test_a_refused_batch_does_not_stop_the_rest(tmp_path: Path) -> None:
    """Lines of a batch that the gateway refuses are named; the following ones are sent."""
    file = write(tmp_path / "a.ndjson", *[track(n) for n in range(3000)])
    bad = Answer(status=400, json={"message": "not this"})
    async with FakeVendor(bad, default=OK) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", str(file))
    assert result.exit_code == 1
    assert "a.ndjson:1-2500: HTTP 400: not this" in result.stderr
    assert result.stdout == "accepted 500 events in 1 requests; 2500 lines were not\n"


async def test_a_failure_says_how_far_it_came(tmp_path: Path) -> None:
    """After a final failure the number of accepted events is shown; exit code 1."""
    file = write(tmp_path / "a.ndjson", *[track(n) for n in range(3000)])
    async with FakeVendor(OK, default=Answer(status=401)) as vendor:
        result = await run("--url", vendor.url, "--write-key", "k", str(file))
    assert result.exit_code == 1
    assert result.stdout == "accepted 2500 events in 1 requests\n"
    assert "The rest was not sent. Send the file again" in result.stderr


async def start_stream(vendor: FakeVendor) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "send", "--url", vendor.url, "--write-key", "k", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


async def test_a_stream_is_sent_as_it_comes() -> None:
    """Events of a pipe are sent without waiting for its end."""
    async with FakeVendor(default=OK) as vendor:
        process = await start_stream(vendor)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(track(1)) + b"\n")
        await vendor.wait_for_requests(1)
        assert [event["userId"] for event in received(vendor)] == ["user-1"]
        output, _ = await process.communicate(msgspec.json.encode(track(2)))
        assert [event["userId"] for event in received(vendor)] == ["user-1", "user-2"]
    assert process.returncode == 0
    assert output == b"accepted 2 events in 2 requests\n"


async def test_a_silent_stream_can_be_interrupted() -> None:
    """Ctrl-C ends the command while a pipe is silent, and shows the number of accepted events."""
    async with FakeVendor(default=OK) as vendor:
        process = await start_stream(vendor)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(track(1)) + b"\n")
        await vendor.wait_for_requests(1)
        process.send_signal(signal.SIGINT)
        output = await process.stdout.read()  # standard input is still open
        assert await process.wait() == 1
        process.stdin.close()
    # The signal may come before the answer to the request does.
    assert re.fullmatch(rb"accepted [01] events in [01] requests\n", output)


async def test_a_real_gateway_counts_a_file_once(tmp_path: Path) -> None:
    """A file that is sent twice is stored once, and the gateway accepts all that `send` sends."""
    gateway = make_gateway(
        tmp_path,
        '[server]\nport = 0\n[sources.web]\ntype = "segment"\nwrite_key = "k"\n'
        '[destinations.null]\ntype = "null"\n',
    )
    config = tmp_path / "config.toml"
    file = write(tmp_path / "a.ndjson", *[track(n % 10) for n in range(3000)])
    async with gateway.running(), serving(gateway) as url:
        for _ in range(2):
            result = await run("--url", url, "--config", str(config), str(file))
            assert (result.exit_code, result.stdout) == (0, "accepted 3000 events in 2 requests\n")
        counts = gateway.ledger.source("web")
        assert (counts.accepted, counts.duplicate, counts.discarded.total()) == (3000, 3000, 0)


# -- where to --------------------------------------------------------------------


def test_without_a_config_the_defaults_hold() -> None:
    """Without config.toml and options, address and key are those of the example config."""
    assert target(None, None, None) == ("http://127.0.0.1:8080", "demo")


def test_config_gives_address_and_key(tmp_path: Path) -> None:
    """config.toml gives the server's address and the key of the first enabled segment source."""
    (tmp_path / "config.toml").write_text(CONFIG)
    assert target(None, None, None) == ("http://127.0.0.1:9999/ingest", "first")
    assert target(None, "http://x.example", None) == ("http://x.example", "first")
    assert target(None, None, "k") == ("http://127.0.0.1:9999/ingest", "k")


def test_a_config_that_is_not_needed_is_not_read(tmp_path: Path) -> None:
    """With both options a broken config file does not matter."""
    (tmp_path / "config.toml").write_text("nonsense")
    assert target(None, "http://x.example", "k") == ("http://x.example", "k")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('[sources.web]\ntype = "segment"\nwrite_key = "k"\n[server]\nport = 0', "give --url"),
        ('[sources.web]\ntype = "pixel"\nwrite_key = "k"', "give --write-key"),
        ('[sources.web]\ntype = "segment"', "give --write-key"),
        ("nonsense", "is not TOML"),
    ],
)
def test_a_config_that_does_not_say_is_an_error(tmp_path: Path, config: str, said: str) -> None:
    """Options must give what config leaves open, and the message says so."""
    path = tmp_path / "other.toml"
    path.write_text(config)
    with pytest.raises(click.ClickException, match=said):
        target(path, None, None)
    with pytest.raises(click.ClickException, match="cannot be read"):
        target(tmp_path / "missing.toml", None, None)


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("::", "127.0.0.1")])
def test_addresses_of_all_kinds(tmp_path: Path, host: str, shown: str) -> None:
    """IPv6 hosts get brackets; an address to listen on everywhere becomes the local one."""
    path = tmp_path / "c.toml"
    path.write_text(f'[server]\nhost = "{host}"\n')
    assert target(path, None, "k")[0] == f"http://{shown}:8080"
