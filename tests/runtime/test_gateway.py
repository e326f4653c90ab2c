"""A whole gateway in this process: it starts, restarts, drains and follows its config."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Raw, Struct

from gateway.components.destination import Batch, Destination, DestinationSpec
from gateway.config.load import load
from gateway.errors import ConfigError, GatewayError, Retryable
from gateway.events.envelope.client import Client
from gateway.events.event import EMPTY, Event
from gateway.intake.intake import Arrival, Receipt
from gateway.privacy.suppression import FILE_NAME, Suppressions
from gateway.runtime.gateway import Gateway
from gateway.runtime.health import report
from gateway.runtime.plugins import Plugin, Registry, discover
from gateway.server.app import serving
from tests.support.waiting import until

CONFIG = """
data_dir = "data"
[server]
drain_timeout_seconds = 0.3
[sources.web]
type = "segment"
write_key = "k"
[destinations.out]
type = "recording"
batch = { max_age_seconds = 0 }
"""


class NoKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """A config without keys."""


class Recording(Destination):
    """Records ids over all gateways of a test, and behaves as the test says."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.behave: Callable[[], object] | None = None
        self.stopped = 0

    async def send(self, batch: Batch) -> None:
        if self.behave is not None:
            result = self.behave()
            if asyncio.iscoroutine(result):
                await result
        self.ids += [event.message_id for event in batch]

    async def stop(self) -> None:
        self.stopped += 1


class World:
    """A folder with a config, and a destination that outlives the gateways."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recording = Recording()
        self.config(CONFIG)

    def config(self, text: str) -> None:
        (self.folder / "config.toml").write_text(text)

    def gateway(self) -> Gateway:
        registry: Registry = discover(installed=[])
        spec = DestinationSpec("recording", NoKeys, lambda *_: self.recording, name="Recording")
        registry.add("destination", spec, Plugin("recording", "tests", "0"))
        return Gateway(load(self.folder / "config.toml", {}), registry)


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


async def send(gateway: Gateway, *ids: str) -> Receipt:
    events = [Event(type="track", event="x", user_id="u", message_id=i) for i in ids]
    arrival = Arrival("web", gateway.clock(), events, client=Client(category="server"))
    return await gateway.intake.accept(arrival)


async def caught_up(gateway: Gateway) -> None:
    async with asyncio.timeout(10):
        while any(w.cursor < gateway.queue.end for w in gateway.workers.values()):
            await asyncio.sleep(0.001)


async def test_events_are_delivered_and_the_cursor_survives_a_restart(world: World) -> None:
    """After a restart only new events are delivered."""
    async with world.gateway().running() as gateway:
        await send(gateway, "a", "b")
        await caught_up(gateway)
    async with world.gateway().running() as gateway:
        await send(gateway, "c")
        await caught_up(gateway)
        assert gateway.workers["out"].counts.delivered == 3

    assert world.recording.ids == ["a", "b", "c"]
    assert world.recording.stopped == 2


async def test_a_batch_sent_again_after_a_restart_is_stored_once(world: World) -> None:
    """De-duplication is rebuilt from the queue, so a client may retry over a restart."""
    async with world.gateway().running() as gateway:
        await send(gateway, "a", "b")
    async with world.gateway().running() as gateway:
        receipt = await send(gateway, "b", "c")
        await caught_up(gateway)

    assert (receipt.accepted, receipt.duplicate) == (1, 1)
    assert world.recording.ids == ["a", "b", "c"]


async def test_stopping_delivers_what_is_pending(world: World) -> None:
    """A regular stop delivers all pending events to a working destination."""
    async with world.gateway().running() as gateway:
        for n in range(100):
            await send(gateway, str(n))

    assert world.recording.ids == [str(n) for n in range(100)]


async def test_stopping_does_not_wait_for_a_destination_that_hangs(world: World) -> None:
    """A stop ends at its deadline, and the next start delivers the rest."""
    world.recording.behave = lambda: asyncio.sleep(3600)
    loop = asyncio.get_running_loop()
    async with world.gateway().running() as gateway:
        await send(gateway, "a")
        began = loop.time()
    assert loop.time() - began < 5
    assert world.recording.ids == []
    world.recording.behave = None
    async with world.gateway().running() as gateway:
        await caught_up(gateway)

    assert world.recording.ids == ["a"]


async def test_a_destination_that_was_down_gets_its_events_later(world: World) -> None:
    """Events wait in the queue across restarts while a destination is down."""

    def down() -> None:
        raise Retryable("down")

    world.recording.behave = down
    async with world.gateway().running() as gateway:
        await send(gateway, "a")
    world.recording.behave = None
    async with world.gateway().running() as gateway:
        await send(gateway, "b")
        await caught_up(gateway)

    assert world.recording.ids == ["a", "b"]


@pytest.mark.parametrize(("start_at", "expected"), [("now", ["b"]), ("earliest", ["a", "b"])])
async def test_a_new_destination_starts_where_config_says(
    world: World, start_at: str, expected: list[str]
) -> None:
    """A new destination gets new events only, or with earliest all kept ones."""
    world.config(CONFIG.partition("[destinations.out]")[0])
    async with world.gateway().running() as gateway:
        await send(gateway, "a")
    world.config(CONFIG + f'start_at = "{start_at}"\n')
    async with world.gateway().running() as gateway:
        await send(gateway, "b")
        await caught_up(gateway)

    assert world.recording.ids == expected


async def test_a_cursor_beyond_the_queue_is_put_back(world: World) -> None:
    """With the queue's files removed, new events do not count as delivered."""
    async with world.gateway().running() as gateway:
        await send(gateway, "a", "b", "c")
    for file in (world.folder / "data" / "queue").glob("*.seg"):
        file.unlink()
    async with world.gateway().running() as gateway:
        await send(gateway, "d")
        await caught_up(gateway)

    assert world.recording.ids == ["a", "b", "c", "d"]


async def test_a_second_gateway_on_the_same_data_is_refused(world: World) -> None:
    """A second gateway on the same data directory does not start, and says why."""
    async with world.gateway().running():
        with pytest.raises(GatewayError, match="in use by another gateway"):
            async with world.gateway().running():
                pass


async def test_the_slowest_destination_holds_retention_back(world: World) -> None:
    """Retention removes only events that the slowest destination has finished with."""
    world.config(
        CONFIG.replace("[sources.web]", "[queue]\nretention_hours = 0\n[sources.web]")
        + '[destinations.fast]\ntype = "null"\n'
    )

    def down() -> None:
        raise Retryable("down")

    world.recording.behave = down
    async with world.gateway().running() as gateway:
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
        ("[queue]\nretention = 1", "queue: there is no key 'retention'"),
        ("[destinations.x]\ntype='null'\nbatch={max_event=1}", "destinations.x.batch: there is no"),
    ],
)
def test_a_config_that_cannot_be_used_names_the_key(
    world: World, addition: str, message: str
) -> None:
    """An error of config begins with the path of the key, and says what is right."""
    world.config(CONFIG + addition + "\n")
    with pytest.raises(ConfigError) as caught:
        world.gateway()

    assert message in str(caught.value)


def test_disabled_components_take_no_part(world: World) -> None:
    """A disabled destination or transform does nothing."""
    world.config(CONFIG + 'enabled = false\n[transforms.t]\ntype = "mask"\nenabled = false\n')
    gateway = world.gateway()

    assert gateway.destinations == []


async def test_a_component_that_cannot_start_stops_the_start_with_its_name(world: World) -> None:
    """A component that cannot start ends the start with its name, and the others are stopped."""

    async def start() -> None:
        raise RuntimeError("no such bucket")

    world.recording.start = start  # type: ignore[method-assign]
    with pytest.raises(GatewayError, match=r"destinations\.out: cannot be started: no such bucket"):
        async with world.gateway().running():
            pass
    del world.recording.start  # type: ignore[attr-defined]
    async with world.gateway().running() as gateway:
        await send(gateway, "a")

    assert world.recording.ids == ["a"]


async def test_a_start_that_hangs_holds_up_one_destination_only(world: World) -> None:
    """Events come in while a destination does not start; health names it, and they reach it later.

    Its start is tried again before each send.
    """
    world.config(CONFIG.replace("[server]", "[server]\nstart_timeout_seconds = 0.05"))
    hangs = asyncio.Event()

    async def start() -> None:
        await hangs.wait()

    world.recording.start = start  # type: ignore[method-assign]
    async with world.gateway().running() as gateway:
        assert report(gateway)["failing"] == [
            "destination out: retrying: destinations.out: has not started within 0.05 s"
        ]
        await send(gateway, "a")
        assert world.recording.ids == []
        hangs.set()
        await until(lambda: world.recording.ids == ["a"])
        await until(lambda: report(gateway)["status"] == "ok")


async def test_a_source_that_does_not_start_in_time_ends_the_start(world: World) -> None:
    """A source has start_timeout_seconds to start; the error names it."""
    world.config(CONFIG.replace("[server]", "[server]\nstart_timeout_seconds = 0.05"))
    gateway = world.gateway()

    async def start() -> None:
        await asyncio.sleep(60)

    gateway.sources[0].start = start  # type: ignore[method-assign]
    with pytest.raises(GatewayError, match=r"has not started within 0\.05 s"):
        async with gateway.running():
            pass


async def test_a_start_that_times_out_of_itself_says_why(world: World) -> None:
    """A component's own time-out is reported as such, not as that of the gateway."""

    async def start() -> None:
        raise TimeoutError("no answer from the vendor")

    world.recording.start = start  # type: ignore[method-assign]
    with pytest.raises(GatewayError, match=r"destinations\.out: cannot be started: no answer"):
        async with world.gateway().running():
            pass


async def test_a_port_that_is_taken_is_told_as_such(world: World) -> None:
    """An error beside a running gateway is raised unchanged, for the command to show."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"[server]\nport = {taken.getsockname()[1]}"
        world.config(CONFIG.replace("[server]", port))
        gateway = world.gateway()
        with pytest.raises(GatewayError, match="cannot listen on"):
            async with gateway.running(), serving(gateway):
                pass


async def test_a_start_that_fails_leaves_no_task_behind(world: World) -> None:
    """A failed start stops everything that it has started."""
    gateway = world.gateway()

    async def start() -> None:
        raise RuntimeError("no")

    gateway.sources[0].start = start  # type: ignore[method-assign]
    with pytest.raises(GatewayError, match="cannot be started: no"):
        async with gateway.running():
            pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_suppressed_user_is_thrown_away_and_taken_again(world: World) -> None:
    """Conformance case 43: a suppressed user's events get 200 and are stored only once lifted."""
    others = Suppressions(world.folder / "data" / FILE_NAME)
    others.add(["u"])
    async with world.gateway().running() as gateway:
        receipt = await send(gateway, "a", "b")
        assert (receipt.accepted, receipt.discarded) == (0, {"suppressed": 2})
        others.remove(["u"])
        async with asyncio.timeout(10):
            while len(gateway.suppressed):
                await asyncio.sleep(0.05)
        assert (await send(gateway, "a")).accepted == 1
        await caught_up(gateway)

    assert world.recording.ids == ["a"]


async def test_consent_decides_for_mapped_destinations(world: World) -> None:
    """Conformance case 42: a mapped destination gets only events with the user's consent."""
    world.config(
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
    async with world.gateway().running() as gateway:
        await gateway.intake.accept(Arrival("web", gateway.clock(), events))
        await caught_up(gateway)
        assert gateway.workers["out"].counts.filtered == {"consent": 2}
        assert gateway.workers["free"].counts.delivered == 4

    assert world.recording.ids == ["none", "all"]
