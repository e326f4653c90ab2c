"""A whole gateway in this process: it starts, restarts, drains and follows its config."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import Raw

from gateway.errors import ConfigError, GatewayError, Retryable
from gateway.events.event import EMPTY, Event
from gateway.privacy.suppression import FILE_NAME, Suppressions
from gateway.runtime.health import report
from gateway.server.app import serving
from tests.support.gateway_harness import BASE, GatewayHarness
from tests.support.in_process import caught_up, send, send_events
from tests.support.waiting import until

CONFIG = BASE.replace("drain_timeout_seconds = 1.0", "drain_timeout_seconds = 0.3")


@pytest.fixture(name="harness")
def _harness(tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(tmp_path, CONFIG)


async def test_events_are_delivered_and_the_cursor_survives_a_restart(
    harness: GatewayHarness,
) -> None:
    """After a restart only new events are delivered."""
    async with harness.gateway().running() as gateway:
        await send(gateway, "a", "b")
        await caught_up(gateway)
    async with harness.gateway().running() as gateway:
        await send(gateway, "c")
        await caught_up(gateway)
        assert gateway.workers["out"].counts.delivered == 3

    assert harness.got["out"] == ["a", "b", "c"]
    assert [one.state for one in harness.made] == ["stopped", "stopped"]


async def test_a_batch_sent_again_after_a_restart_is_stored_once(harness: GatewayHarness) -> None:
    """De-duplication is rebuilt from the queue, so a client may retry over a restart."""
    async with harness.gateway().running() as gateway:
        await send(gateway, "a", "b")
    async with harness.gateway().running() as gateway:
        receipt = await send(gateway, "b", "c")
        await caught_up(gateway)

    assert (receipt.accepted, receipt.duplicate) == (1, 1)
    assert harness.got["out"] == ["a", "b", "c"]


async def test_a_restored_backup_costs_a_table_no_new_event(harness: GatewayHarness) -> None:
    """Offsets are given out again, and the table has other events at them."""
    harness.write(CONFIG + "[destinations.table]\ntype = 'sqlite'\npath = 't.sqlite'\n")
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await caught_up(gateway)
    shutil.copytree(harness.folder / "data", harness.folder / "backup")
    async with harness.gateway().running() as gateway:
        await send(gateway, "b", "c")
        await caught_up(gateway)
    shutil.rmtree(harness.folder / "data")
    (harness.folder / "backup").rename(harness.folder / "data")
    async with harness.gateway().running() as gateway:
        await send(gateway, "d", "e")
        await caught_up(gateway)
    with closing(sqlite3.connect(harness.folder / "t.sqlite")) as db:
        stored = db.execute("SELECT message_id FROM events ORDER BY message_id").fetchall()

    assert [id_ for (id_,) in stored] == ["a", "b", "c", "d", "e"]


async def test_only_the_owner_can_read_what_is_stored(harness: GatewayHarness) -> None:
    """Neither a wide umask nor the modes of an earlier release leave events or ids readable."""
    stored = """
[destinations.table]
type = "sqlite"
path = "data/t.sqlite"
[destinations.files]
type = "file"
path = "data/out"
[groups.g]
percent = 50
[destinations.half]
type = "null"
only = { group = "g", arm = "test" }
"""
    (harness.folder / "data").mkdir(mode=0o755)
    (harness.folder / "data" / "state.sqlite").touch(mode=0o644)
    harness.write(CONFIG + stored)
    before = os.umask(0)
    try:
        async with harness.gateway().running() as gateway:
            Suppressions(harness.folder / "data" / FILE_NAME).add(["u"])
            await send(gateway, "a")
            await caught_up(gateway)
            modes = {path: path.stat().st_mode for path in (harness.folder / "data").rglob("*")}
    finally:
        os.umask(before)
    modes[harness.folder / "data"] = (harness.folder / "data").stat().st_mode
    folders = {path.name for path, mode in modes.items() if mode & 0o077 and path.is_dir()}
    files = {path.name for path, mode in modes.items() if mode & 0o077 and path.is_file()}

    assert {"state.sqlite", "t.sqlite", "t.sqlite-wal", "identity", "lock"} <= {
        p.name for p in modes
    }
    assert (files, folders) == (set(), set())


async def test_stopping_delivers_what_is_pending(harness: GatewayHarness) -> None:
    """A tidy stop leaves nothing behind if the destination works."""
    async with harness.gateway().running() as gateway:
        for n in range(100):
            await send(gateway, str(n))

    assert harness.got["out"] == [str(n) for n in range(100)]


async def test_stopping_does_not_wait_for_a_destination_that_hangs(harness: GatewayHarness) -> None:
    """A stop ends at its deadline, and the next start delivers the rest."""
    harness.behave = lambda *_: asyncio.sleep(3600)
    loop = asyncio.get_running_loop()
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        began = loop.time()
    assert loop.time() - began < 5
    assert harness.got["out"] == []
    harness.behave = None
    async with harness.gateway().running() as gateway:
        await caught_up(gateway)

    assert harness.got["out"] == ["a"]


async def test_a_destination_that_was_down_gets_its_events_later(harness: GatewayHarness) -> None:
    """Events wait in the queue across restarts while a destination is down."""

    def down(*_: object) -> None:
        raise Retryable("down")

    harness.behave = down
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
    harness.behave = None
    async with harness.gateway().running() as gateway:
        await send(gateway, "b")
        await caught_up(gateway)

    assert harness.got["out"] == ["a", "b"]


@pytest.mark.parametrize(("start_at", "expected"), [("now", ["b"]), ("earliest", ["a", "b"])])
async def test_a_new_destination_starts_where_config_says(
    harness: GatewayHarness, start_at: str, expected: list[str]
) -> None:
    """A new destination gets new events only, or with earliest all kept ones."""
    harness.write(CONFIG.partition("[destinations.out]")[0])
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
    harness.write(CONFIG + f'start_at = "{start_at}"\n')
    async with harness.gateway().running() as gateway:
        await send(gateway, "b")
        await caught_up(gateway)

    assert harness.got["out"] == expected


async def test_a_cursor_beyond_the_queue_is_put_back(harness: GatewayHarness) -> None:
    """With the queue's files removed, new events do not count as delivered."""
    async with harness.gateway().running() as gateway:
        await send(gateway, "a", "b", "c")
    for file in (harness.folder / "data" / "queue").glob("*.seg"):
        file.unlink()
    async with harness.gateway().running() as gateway:
        await send(gateway, "d")
        await caught_up(gateway)

    assert harness.got["out"] == ["a", "b", "c", "d"]


async def test_a_second_gateway_on_the_same_data_is_refused(harness: GatewayHarness) -> None:
    """A second gateway on the same data directory does not start, and says why."""
    async with harness.gateway().running():
        with pytest.raises(GatewayError, match="in use by another gateway"):
            async with harness.gateway().running():
                pass


async def test_the_slowest_destination_holds_retention_back(harness: GatewayHarness) -> None:
    """Retention removes only events that the slowest destination has finished with."""
    harness.write(
        CONFIG.replace("[sources.web]", "[queue]\nretention_hours = 0\n[sources.web]")
        + '[destinations.fast]\ntype = "null"\n'
    )

    def down(*_: object) -> None:
        raise Retryable("down")

    harness.behave = down
    async with harness.gateway().running() as gateway:
        released: list[int] = []

        async def release(offset: int, _: int) -> int:
            released.append(offset)
            return 0

        gateway.queue.release = release  # type: ignore[method-assign]
        await send(gateway, "a", "b")
        async with asyncio.timeout(10):
            while gateway.workers["fast"].cursor < 2 or not released:
                await asyncio.sleep(0.01)

    assert set(released) == {0}


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ('[destinations.x]\ntype = "recordin"', "destinations.x.type: there is no destination"),
        ('[destinations.x]\ntype = "recordin"', "did you mean 'recording'"),
        ('[destinations.x]\ntype = "null"\nurl = "u"', "destinations.x: there is no key 'url'"),
        ("[transforms.t]\ntype = 'sample'\npercent = 200", "transforms.t"),
        ("[queue]\ntype = 'dsk'", "queue.type: there is no queue type 'dsk'"),
        (
            "[queue]\nmax_pending_bytes = 500_000",
            "queue.max_pending_bytes: 500000 is less than one",
        ),
        ("[queue]\nretention = 1", "queue: there is no key 'retention'"),
        ("[destinations.x]\ntype='null'\nbatch={max_event=1}", "destinations.x.batch: there is no"),
    ],
)
def test_a_config_that_cannot_be_used_names_the_key(
    harness: GatewayHarness, addition: str, message: str
) -> None:
    """An error of config begins with the path of the key, and says what is right."""
    harness.write(CONFIG + addition + "\n")
    with pytest.raises(ConfigError) as caught:
        harness.gateway()

    assert message in str(caught.value)


def test_mistakes_in_the_tables_of_several_plugins_are_shown_at_once(
    harness: GatewayHarness,
) -> None:
    """Each on a line of its own."""
    harness.write(CONFIG + "[destinations.x]\ntype = 'null'\nurl = 'u'\n[queue]\nretention = 1\n")
    with pytest.raises(ConfigError) as caught:
        harness.gateway()
    lines = str(caught.value).split("\n")
    assert lines[0] == "2 mistakes:"
    assert lines[1].startswith("  queue: there is no key 'retention' here")
    assert lines[2].startswith("  destinations.x: there is no key 'url' here")


def test_disabled_components_take_no_part(harness: GatewayHarness) -> None:
    """enabled = false leaves a destination or a transform out."""
    harness.write(CONFIG + 'enabled = false\n[transforms.t]\ntype = "mask"\nenabled = false\n')
    gateway = harness.gateway()

    assert gateway.destinations == []


async def test_a_component_that_cannot_start_stops_the_start_with_its_name(
    harness: GatewayHarness,
) -> None:
    """A component that cannot start ends the start with its name, and the others are stopped."""
    harness.start_error = RuntimeError("no such bucket")
    with pytest.raises(GatewayError, match=r"destinations\.out: cannot be started: no such bucket"):
        async with harness.gateway().running():
            pass
    harness.start_error = None
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")

    assert harness.got["out"] == ["a"]


async def test_a_start_that_hangs_holds_up_one_destination_only(harness: GatewayHarness) -> None:
    """Events come in while a destination does not start; health names it, and they reach it later.

    Its start is tried again before each send.
    """
    harness.write(CONFIG.replace("[server]", "[server]\nstart_timeout_seconds = 0.05"))
    harness.start_waits = asyncio.Event()
    async with harness.gateway().running() as gateway:
        assert report(gateway)["failing"] == [
            "destination out: retrying: destinations.out: has not started within 0.05 s"
        ]
        await send(gateway, "a")
        assert harness.got["out"] == []
        harness.start_waits.set()
        await until(lambda: harness.got["out"] == ["a"])
        await until(lambda: report(gateway)["status"] == "ok")


async def test_a_source_that_does_not_start_in_time_ends_the_start(harness: GatewayHarness) -> None:
    """A source has start_timeout_seconds to start; the error names it."""
    harness.write(CONFIG.replace("[server]", "[server]\nstart_timeout_seconds = 0.05"))
    gateway = harness.gateway()

    async def start() -> None:
        await asyncio.sleep(60)

    gateway.sources[0].start = start  # type: ignore[method-assign]
    with pytest.raises(GatewayError, match=r"has not started within 0\.05 s"):
        async with gateway.running():
            pass


async def test_a_start_that_times_out_of_itself_says_why(harness: GatewayHarness) -> None:
    """A component's own time-out is reported as such, not as that of the gateway."""
    harness.start_error = TimeoutError("no answer from the vendor")
    with pytest.raises(GatewayError, match=r"destinations\.out: cannot be started: no answer"):
        async with harness.gateway().running():
            pass


async def test_a_port_that_is_taken_is_told_as_such(harness: GatewayHarness) -> None:
    """An error beside a running gateway is raised unchanged, for the command to show."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"[server]\nport = {taken.getsockname()[1]}"
        harness.write(CONFIG.replace("[server]", port))
        gateway = harness.gateway()
        with pytest.raises(GatewayError, match="cannot listen on"):
            async with gateway.running(), serving(gateway):
                pass


async def test_a_start_that_fails_leaves_no_task_behind(harness: GatewayHarness) -> None:
    """A failed start stops everything that it has started."""
    gateway = harness.gateway()

    async def start() -> None:
        raise RuntimeError("no")

    gateway.sources[0].start = start  # type: ignore[method-assign]
    with pytest.raises(GatewayError, match="cannot be started: no"):
        async with gateway.running():
            pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_suppressed_user_is_thrown_away_and_taken_again(harness: GatewayHarness) -> None:
    """Conformance case 43: a suppressed user's events get 200 and are stored only once lifted."""
    others = Suppressions(harness.folder / "data" / FILE_NAME)
    others.add(["u"])
    async with harness.gateway().running() as gateway:
        receipt = await send(gateway, "a", "b")
        assert (receipt.accepted, receipt.discarded) == (0, {"suppressed": 2})
        others.remove(["u"])
        async with asyncio.timeout(10):
            while len(gateway.suppressed):
                await asyncio.sleep(0.05)
        assert (await send(gateway, "a")).accepted == 1
        await caught_up(gateway)

    assert harness.got["out"] == ["a"]


async def test_consent_decides_for_mapped_destinations(harness: GatewayHarness) -> None:
    """Conformance case 42: a mapped destination gets only events with the user's consent."""
    harness.write(
        CONFIG + 'consent = ["Advertising", "Analytics"]\n[destinations.free]\ntype = "null"\n'
    )
    contexts = {
        "none": EMPTY,
        "half": Raw(b'{"consent":{"categoryPreferences":{"Advertising":true}}}'),
        "empty": Raw(b'{"consent":{"categoryPreferences":{}}}'),
        "all": Raw(b'{"consent":{"categoryPreferences":{"Advertising":true,"Analytics":true}}}'),
    }
    events = [
        Event(type="track", event="x", user_id="u", message_id=id_, raw_context=context)
        for id_, context in contexts.items()
    ]
    async with harness.gateway().running() as gateway:
        await send_events(gateway, events)
        await caught_up(gateway)
        assert gateway.workers["out"].counts.filtered == {"consent": 2}
        assert gateway.workers["free"].counts.delivered == 4

    assert harness.got["out"] == ["none", "all"]
