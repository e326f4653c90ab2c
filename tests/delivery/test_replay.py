"""Replays: past events are delivered once more, those asked for and no others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.admin_client import required
from gateway.cli.options import Moment
from gateway.delivery.replay_request import Progress, Request
from gateway.errors import ConfigError
from gateway.events.event import Event, encode_events
from gateway.events.timestamps import format_ms
from gateway.runtime.gateway import Gateway
from gateway.state.ledger.statement import statement
from gateway.testing import Answer, FakeVendor, ManualClock
from tests.support.commands import gateway_command, place_of
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, send_track
from tests.support.in_process import make_gateway

CONFIG = """
[sources.web]
type = "segment"
write_key = "demo"
[transforms.orders]
type = "filter"
keep = 'event != "Noise"'
destinations = ["crm"]
[destinations.crm]
type = "webhook"
url = "{url}"
batch = {{ max_age_seconds = 0.0 }}
idempotent = {idempotent}
consent = ["Ads"]
[destinations.crm.retry]
initial_seconds = 0.01
max_seconds = 0.02
"""
NO_ADS = {"consent": {"categoryPreferences": {"Ads": False}}}
START = 1_800_000_000_000
REPLAYS = "/admin/replays"


class Harness:
    """A gateway in this process, with a receiver to replay to."""

    def __init__(self, folder: Path, vendor: FakeVendor, *, idempotent: bool = True) -> None:
        self.text = CONFIG.format(url=vendor.url, idempotent="true" if idempotent else "false")
        self.vendor = vendor
        self.clock = ManualClock(START)
        self.folder = folder
        self.gateway = self.make()

    def make(self) -> Gateway:
        """Makes a gateway over the same data."""
        return make_gateway(self.folder, self.text, self.clock)

    async def put(self, *names: str, received_ms: int = START, **fields: Any) -> None:
        events = []
        for name in names:
            event = Event(type="track", event=name, message_id=name, source_id="web")
            event.received_at = format_ms(received_ms)
            for key, value in fields.items():
                setattr(event, key, value)
            events.append(event)
        await self.gateway.queue.put(events, encode_events(events), {"web": len(events)})
        await self.caught_up()

    async def caught_up(self) -> None:
        worker = self.gateway.workers["crm"]
        async with asyncio.timeout(10):
            while worker.pending(self.gateway.queue.end):
                await asyncio.sleep(0.002)

    async def replay(self, **fields: Any) -> Progress:
        """Runs a replay to its end."""
        begun = await self.gateway.replays.start(request(**fields))
        await self.gateway.replays.wait(begun.id, 10)
        found = await self.gateway.replays.progress(begun.id)
        assert found is not None
        return found

    @property
    def received(self) -> list[str]:
        """Returns the names of the events that the receiver got, in order."""
        return [e["event"] for r in self.vendor.requests for e in r.json()["batch"]]

    async def balanced(self) -> bool:
        await self.gateway.source_ledger.flush()
        found = await self.gateway.state.call(statement, self.gateway.queue.end)
        return found.balanced


def request(**fields: Any) -> Request:
    values = {"destination": "crm", "from_ms": START - 1000, "to_ms": START + 1000}
    return Request(**{**values, **fields})


@asynccontextmanager
async def running_harness(folder: Path, **options: Any) -> AsyncIterator[Harness]:
    async with FakeVendor() as vendor:
        harness = Harness(folder, vendor, **options)
        async with harness.gateway.running():
            yield harness


async def test_events_are_delivered_once_more_as_they_were(tmp_path: Path) -> None:
    """All events of the period come again, with ids and times, in order; the ledger balances."""
    async with running_harness(tmp_path) as harness:
        await harness.put("a", "b")
        await harness.put("c", received_ms=START + 5000)
        first = harness.vendor.requests[0].json()["batch"]
        done = await harness.replay()
        assert (done.state, done.replayed) == ("done", 2)
        assert harness.received == ["a", "b", "c", "a", "b"]
        assert harness.vendor.requests[-1].json()["batch"] == first
        assert harness.gateway.workers["crm"].counts.replayed == 2
        assert await harness.balanced()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"event": "a"}, ["a"]),
        ({"event": "track"}, ["a", "b"]),
        ({"user": "ada"}, ["b"]),
        ({"user": "anna"}, ["b"]),
        ({"to_ms": START}, []),
        ({"from_ms": START, "to_ms": START + 1}, ["a", "b"]),
        ({"from_ms": START + 1}, []),
    ],
)
async def test_only_what_is_asked_for_comes_again(
    tmp_path: Path, asked: dict[str, Any], expected: list[str]
) -> None:
    """Events are chosen by event, by user and by time of receiving, end exclusive."""
    async with running_harness(tmp_path) as harness:
        await harness.put("a")
        await harness.put("b", user_id="ada", anonymous_id="anna")
        before = len(harness.received)
        done = await harness.replay(**asked)
        assert harness.received[before:] == expected
        assert done.replayed == len(expected)


async def test_todays_rules_hold(tmp_path: Path) -> None:
    """Today's consent, transforms and suppression apply, whatever applied then."""
    async with running_harness(tmp_path) as harness:
        await harness.put("Noise")
        await harness.put("refused", context=NO_ADS)
        await harness.put("gone", user_id="eve")
        await harness.put("a")
        await asyncio.to_thread(harness.gateway.suppressed.add, ["eve"])
        await asyncio.to_thread(harness.gateway.suppressed.refresh)
        before = len(harness.received)
        plan = await harness.gateway.replays.plan(request())
        assert (plan.chosen, plan.names) == (4, {"a": 1})
        assert plan.kept_back == {"orders": 1, "consent": 1, "suppressed": 1}
        assert harness.received[before:] == []
        done = await harness.replay()
        assert harness.received[before:] == ["a"]
        assert done.replayed == 4
        assert harness.gateway.workers["crm"].counts.filtered["suppressed"] == 1
        assert await harness.balanced()


async def test_a_destination_that_may_count_twice_must_be_forced(tmp_path: Path) -> None:
    """A replay to it is refused with the risk, and runs with force."""
    async with running_harness(tmp_path, idempotent=False) as harness:
        await harness.put("a")
        with pytest.raises(ConfigError, match="would count again; --force"):
            await harness.gateway.replays.start(request())
        assert (await harness.replay(force=True)).replayed == 1


async def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    """The error for an unknown destination names the known ones."""
    async with running_harness(tmp_path) as harness:
        with pytest.raises(ConfigError, match="no destination 'nobody'; there are: crm"):
            await harness.gateway.replays.start(request(destination="nobody"))


async def test_one_at_a_time_and_it_can_be_cancelled(tmp_path: Path) -> None:
    """A second replay is refused while the first runs; a cancelled one sends no more."""
    async with running_harness(tmp_path) as harness:
        await harness.put(*[f"e{n}" for n in range(20)])
        start = harness.gateway.replays.start
        both = await asyncio.gather(
            start(request(rate=0.5)), start(request(rate=0.5)), return_exceptions=True
        )
        begun, refused = both
        assert isinstance(begun, Progress)
        assert "has a replay under way" in str(refused)
        with pytest.raises(ConfigError, match="has a replay under way"):
            await start(request())
        assert harness.gateway.replays.remaining() == {"crm": 20}
        ended = await harness.gateway.replays.cancel(begun.id)
        assert ended is not None
        assert ended.state == "cancelled"
        assert ended.replayed < 20
        assert harness.gateway.replays.remaining() == {}
        assert await harness.balanced()


async def test_new_events_are_not_held_up(tmp_path: Path) -> None:
    """New events are delivered at once while a slow replay runs."""
    async with running_harness(tmp_path) as harness:
        await harness.put(*[f"e{n}" for n in range(20)])
        begun = await harness.gateway.replays.start(request(rate=1))
        await harness.put("new")
        assert harness.received[-1] == "new" or "new" in harness.received
        await harness.gateway.replays.cancel(begun.id)
        assert await harness.balanced()


async def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """A replay continues after a restart; nothing is counted twice or left out."""
    async with FakeVendor() as vendor:
        harness = Harness(tmp_path, vendor)
        async with harness.gateway.running():
            await harness.put(*[f"e{n}" for n in range(10)])
            begun = await harness.gateway.replays.start(request(rate=20))
            async with asyncio.timeout(10):
                while harness.gateway.workers["crm"].counts.replayed < 3:
                    await asyncio.sleep(0.001)
        harness.gateway = harness.make()
        async with harness.gateway.running():
            await harness.gateway.replays.wait(begun.id, 10)
            done = await harness.gateway.replays.progress(begun.id)
            assert done is not None
            assert (done.state, done.replayed) == ("done", 10)
            assert await harness.balanced()
        assert set(harness.received[10:]) == {f"e{n}" for n in range(10)}


async def test_without_a_running_gateway_it_is_done_offline(tmp_path: Path) -> None:
    """Only the destination asked for is started, and new events stay in the queue."""
    async with FakeVendor() as vendor:
        harness = Harness(tmp_path, vendor)
        async with harness.gateway.running():
            await harness.put("a")
        harness.gateway = harness.make()
        async with harness.gateway.standing_by("crm"):
            assert (await harness.replay()).replayed == 1
        assert harness.received == ["a", "a"]
        with pytest.raises(ConfigError, match="no destination 'x'"):
            async with harness.make().standing_by("x"):
                pass


async def test_failures_go_the_way_of_all_events(tmp_path: Path) -> None:
    """A refused event becomes a dead letter, and one to try again waits in the lane."""
    async with running_harness(tmp_path) as harness:
        await harness.put("a", "b", "c")
        failed = [{"index": 0, "retry": False}, {"index": 1, "retry": True}]
        harness.vendor.answer(Answer(json={"failed": failed}))
        done = await harness.replay()
        harness.clock.advance(1)  # the one that waits is due
        await harness.caught_up()
        assert done.replayed == 3
        counts = harness.gateway.workers["crm"].counts
        assert (counts.dead, counts.delivered) == ({"rejected": 1}, 5)
        assert await harness.balanced()


@pytest.mark.parametrize("text", ["yesterday", "5 h", "2026-13-01", ""])
def test_a_time_that_is_none_is_explained(text: str) -> None:
    """The error shows both forms of a time."""
    from click import BadParameter

    with pytest.raises(BadParameter, match="2026-05-01T12:00:00Z, or so long ago: 90m, 2d"):
        Moment().convert(text, None, None)


def test_times_are_utc_unless_they_say_otherwise() -> None:
    """ISO 8601 without an offset is UTC."""
    assert Moment().convert("2026-05-01", None, None).isoformat() == "2026-05-01T00:00:00+00:00"
    moment = Moment().convert("2026-05-01T12:00:00+02:00", None, None)
    assert moment.utcoffset() is not None
    assert moment.timestamp() == 1777629600


def test_the_command_asks_the_running_gateway(tmp_path: Path) -> None:
    """The command shows progress, a plan on demand, a list, and the reason of a refusal."""
    config = f"""
[server]
port = 0
[admin]
token = "{ADMIN_TOKEN}"
[sources.web]
type = "segment"
write_key = "demo"
[destinations.all]
type = "null"
[destinations.files]
type = "file"
path = "events"
"""
    with GatewayProcess(tmp_path, config) as gateway:
        send_track(gateway, event="Hello", messageId="a")
        send_track(gateway, event="Bye", messageId="b")
        gateway.wait_delivered("all")
        gateway.wait_delivered("files")
        code, output = gateway_command(tmp_path, "replay", "-d", "all", "--from", "1h", "--dry-run")
        assert (code, "2 events would be replayed, 2 of them sent" in output) == (0, True), output
        code, output = gateway_command(
            tmp_path, "replay", "-d", "all", "--from", "1h", "--event", "Bye"
        )
        assert (code, "replay 1 is done: 1 events came in again" in output) == (0, True), output
        code, output = gateway_command(tmp_path, "replay", "-d", "files", "--from", "1h")
        assert (code, "--force" in output) == (2, True), output
        code, output = gateway_command(tmp_path, "replay", "--status")
        assert (code, "all  done" in output) == (0, True), output
        assert gateway.metric("headgate_destination_replayed_total", destination="all") == 1
        code, output = gateway_command(tmp_path, "ledger", "--json")
        assert code == 0
        assert {d["id"]: d["replayed"] for d in json.loads(output)["destinations"]} == {
            "all": 1,
            "files": 0,
        }


@pytest.mark.slow
async def test_a_kill_in_the_middle_loses_and_doubles_nothing_in_the_books(tmp_path: Path) -> None:
    """After a kill the replay continues; each event is counted once and reaches the receiver."""
    config = f"""
[server]
port = 0
[admin]
token = "{ADMIN_TOKEN}"
[sources.web]
type = "segment"
write_key = "demo"
[destinations.crm]
type = "webhook"
url = "{{url}}"
idempotent = true
batch = {{{{ max_age_seconds = 0.0 }}}}
"""
    async with FakeVendor() as vendor:
        with GatewayProcess(tmp_path, config.format(url=vendor.url)) as gateway:
            for number in range(40):
                await asyncio.to_thread(send_track, gateway, event="Hello", messageId=f"m{number}")
            await asyncio.to_thread(gateway.wait_delivered, "crm")
            before = len(vendor.requests)
            body = {"destination": "crm", "from_ms": 0, "to_ms": 10**14, "rate": 8}
            await asyncio.to_thread(required(place_of(tmp_path)).post, REPLAYS, body)
            seen = before
            for _ in range(3):
                # Counted from before the start: what is sent while it starts is progress too.
                await vendor.wait_for_requests(seen + 1)
                await asyncio.to_thread(gateway.kill)
                seen = len(vendor.requests)
                await asyncio.to_thread(gateway.start)
            remote = required(place_of(tmp_path))
            async with asyncio.timeout(20):
                while True:
                    (found,) = await asyncio.to_thread(remote.get, REPLAYS)
                    if found["state"] != "running":
                        break
                    await asyncio.sleep(0.05)
            assert (found["state"], found["replayed"]) == ("done", 40)
            code, said = await asyncio.to_thread(gateway_command, tmp_path, "ledger")
            assert code == 0, said
    again = {e["messageId"] for r in vendor.requests[before:] for e in r.json()["batch"]}
    assert again == {f"m{number}" for number in range(40)}


def test_the_command_needs_to_know_what(tmp_path: Path) -> None:
    """Destination and start time have no default."""
    from gateway.cli.commands.replay import replay

    (tmp_path / "config.toml").write_text("")
    words = ["--config", str(tmp_path / "config.toml")]
    result = CliRunner().invoke(replay, words)
    assert (result.exit_code, "--destination and --from are needed" in result.output) == (2, True)
