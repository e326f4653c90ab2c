"""Reloads change each kind of component, and a config that cannot be used changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.components.destination import Batch
from gateway.config.load import load
from gateway.errors import GatewayError, Retryable
from gateway.runtime.gateway import Gateway
from gateway.runtime.reload import Reloaded, changes, kept
from tests.support.gateway_harness import BASE, GatewayHarness, HarnessDestination
from tests.support.in_process import caught_up, send

SECOND = '[destinations.b]\ntype = "recording"\nbatch = { max_age_seconds = 0 }\n'


@pytest.fixture(name="harness")
def _harness(tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(tmp_path)


async def reloaded(gateway: Gateway, harness: GatewayHarness, text: str) -> Reloaded:
    harness.write(text)
    return await gateway.reload("tests")


# -- what changes ----------------------------------------------------------------------------------


async def test_what_is_the_same_goes_on(harness: GatewayHarness) -> None:
    """An unchanged destination keeps its object and its worker."""
    async with harness.gateway().running() as gateway:
        worker = gateway.workers["out"]
        done = await reloaded(gateway, harness, BASE + "# a comment\n")
        assert (done.changes, done.waits) == ([], [])
        assert gateway.workers["out"] is worker
        assert gateway.destinations[0].destination is harness.made[0]
        assert harness.made[0].state == "started"


async def test_a_changed_destination_takes_the_place_of_the_old_one(
    harness: GatewayHarness,
) -> None:
    """A changed destination keeps worker and counts, and the old object is stopped."""
    async with harness.gateway().running() as gateway:
        worker = gateway.workers["out"]
        await send(gateway, "a")
        await caught_up(gateway)
        done = await reloaded(gateway, harness, BASE + 'tag = "new"\n')
        assert done.changes == ["changed destinations.out"]
        await send(gateway, "b")
        await caught_up(gateway)
        assert gateway.workers["out"] is worker
        assert worker.counts.delivered == 2
        assert gateway.destinations[0].counted == {"sends": 2}
        assert [one.state for one in harness.made] == ["stopped", "started"]
    assert harness.got["out"] == ["a", "b"]
    assert harness.tags["out"] == ["", "new"]
    assert [one.state for one in harness.made] == ["stopped", "stopped"]


async def test_a_send_under_way_ends_before_the_new_one_is_sent_to(harness: GatewayHarness) -> None:
    """A running send ends before the new destination gets events and the old one is stopped."""
    let, began = asyncio.Event(), asyncio.Event()

    async def behave(one: HarnessDestination, _: Batch) -> None:
        if not one.config.tag:
            began.set()
            await let.wait()

    harness.behave = behave
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await began.wait()
        harness.write(BASE + 'tag = "new"\n')
        reloading = asyncio.create_task(gateway.reload("tests"))
        while len(harness.made) < 2 or harness.made[1].state != "started":
            await asyncio.sleep(0.001)
        await send(gateway, "b")
        await asyncio.sleep(0.02)
        assert not reloading.done()
        assert harness.got["out"] == []
        let.set()
        await reloading
        await caught_up(gateway)
    assert harness.problems == []
    assert harness.got["out"] == ["a", "b"]
    assert harness.tags["out"] == ["", "new"]


async def test_a_mended_destination_is_tried_at_once(harness: GatewayHarness) -> None:
    """A failing destination with new settings is tried at once, without its back-off."""
    failing = BASE + "retry = { initial_seconds = 1000.0, max_seconds = 1000.0 }\n"

    async def behave(one: HarnessDestination, _: Batch) -> None:
        if not one.config.tag:
            raise Retryable("down")

    harness.behave = behave
    harness.write(failing)
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        while gateway.workers["out"].condition.state == "ok":
            await asyncio.sleep(0.001)
        await reloaded(gateway, harness, failing + 'tag = "mended"\n')
        await caught_up(gateway)
        assert gateway.workers["out"].condition.state == "ok"
    assert harness.got["out"] == ["a"]


async def test_a_new_destination_begins_as_it_says(harness: GatewayHarness) -> None:
    """A new destination begins with new events, or with earliest at the oldest kept one."""
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await caught_up(gateway)
        third = SECOND.replace("destinations.b", "destinations.c") + 'start_at = "earliest"\n'
        done = await reloaded(gateway, harness, BASE + SECOND + third)
        assert done.changes == ["added destinations.b", "added destinations.c"]
        await send(gateway, "b")
        await caught_up(gateway)
        assert list(gateway.workers) == ["out", "b", "c"]
    assert dict(harness.got) == {"out": ["a", "b"], "b": ["b"], "c": ["a", "b"]}


@pytest.mark.parametrize("gone", ["", SECOND + "enabled = false\n"])
async def test_a_destination_that_comes_back_goes_on_where_it_was(
    harness: GatewayHarness, gone: str
) -> None:
    """A removed or disabled destination keeps its cursor and counts for its return."""
    harness.write(BASE + SECOND)
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await caught_up(gateway)
        await reloaded(gateway, harness, BASE + gone)
        assert list(gateway.workers) == ["out"]
        assert [one.id for one in gateway.destinations] == ["out"]
        assert harness.made[1].state == "stopped"
        await send(gateway, "b")
        await caught_up(gateway)
        await reloaded(gateway, harness, BASE + SECOND)
        await caught_up(gateway)
        await send(gateway, "c")
        await caught_up(gateway)
        worker = gateway.workers["b"]
        assert (worker.counts.delivered, worker.missing) == (3, 0)
        assert gateway.destinations[1].counted == {"sends": 3}
        assert await gateway.state.leaks() == []
    assert harness.got["b"] == ["a", "b", "c"]


async def test_transforms_and_groups_hold_from_the_next_event(harness: GatewayHarness) -> None:
    """Changed transforms and groups apply to the next event, with the same worker."""
    async with harness.gateway().running() as gateway:
        worker = gateway.workers["out"]
        await send(gateway, "a")
        await caught_up(gateway)
        rules = (
            '[groups.g]\npercent = 0\n[transforms.rule]\ntype = "filter"\ndrop = \'event = "x"\'\n'
        )
        rules += 'destinations = ["out"]\nonly = { group = "g" }\n'
        done = await reloaded(gateway, harness, BASE + rules)
        assert done.changes == ["added groups.g", "added transforms.rule"]
        await send(gateway, "b")
        await caught_up(gateway)
        done = await reloaded(
            gateway, harness, BASE + rules.replace("percent = 0", "percent = 100")
        )
        assert done.changes == ["changed groups.g"]
        changed_ms = gateway.clock()
        while gateway.clock() <= changed_ms + 1:  # what comes in within it goes by what was
            await asyncio.sleep(0)
        await send(gateway, "c")
        await caught_up(gateway)
        assert worker.counts.filtered == {"rule": 1}
        at_intake = rules.replace('destinations = ["out"]\n', "").replace("0", "100")
        await reloaded(gateway, harness, BASE + at_intake)
        receipt = await send(gateway, "d")
        assert receipt.discarded == {"filtered:rule": 1}
        assert gateway.workers["out"] is worker
    assert harness.got["out"] == ["a", "b"]


async def test_write_keys_and_sources_come_and_go(harness: GatewayHarness) -> None:
    """A removed write key is unknown at once; an unchanged one keeps its rate."""
    limited = BASE.replace(
        'write_key = "k"', 'keys = [{ key = "k", max_events_per_second = 0.001, burst = 10 }]'
    )
    harness.write(limited)
    async with harness.gateway().running() as gateway:
        key = gateway.intake.key_of("k")
        assert key is not None
        assert key.take(10, gateway.clock()) == 0
        more = '[sources.app]\ntype = "segment"\nwrite_key = "m"\n'
        done = await reloaded(gateway, harness, limited + more)
        assert done.changes == ["added sources.app"]
        assert gateway.intake.source_of("m") == "app"
        assert gateway.ledger.sources["app"].received == 0
        same = gateway.intake.key_of("k")
        assert same is not None
        assert same.take(10, gateway.clock()) > 0, "a reload gave its bucket back"
        await reloaded(gateway, harness, limited.replace('"k"', '"other"'))
        assert gateway.intake.key_of("k") is None
        assert gateway.intake.key_of("other") is not None


async def test_admin_tokens_change_at_once(harness: GatewayHarness) -> None:
    """A removed admin token is refused at once."""
    harness.write(BASE + '[admin]\ntoken = "0123456789abcdef"\n')
    async with harness.gateway().running() as gateway:
        assert gateway.tokens.caller("Bearer 0123456789abcdef") is not None
        await reloaded(gateway, harness, BASE + '[admin]\ntoken = "fedcba9876543210"\n')
        assert gateway.tokens.caller("Bearer 0123456789abcdef") is None
        assert gateway.tokens.caller("Bearer fedcba9876543210") is not None


# -- what does not ---------------------------------------------------------------------------------

BAD = {
    "toml": ("[[[", "is not TOML"),
    "unknown key": (BASE + "nonsense = 1\n", r"destinations\.out.*'nonsense'"),
    "unknown type": (
        BASE.replace('"recording"', '"recordnig"'),
        r"destinations\.out\.type.*'recording'",
    ),
    "refused at start": (BASE + 'start = "refuse"\n', r"destinations\.out: cannot be.*no such"),
    "hangs at start": (
        BASE + 'start = "hang"\ntimeout_seconds = 0.05\n',
        r"destinations\.out: has not started within 0\.05 s",
    ),
    "new one refused": (
        BASE
        + SECOND
        + 'tag = "x"\n'
        + SECOND.replace("destinations.b", "destinations.c")
        + 'start = "refuse"\n',
        r"destinations\.c: cannot be started",
    ),
    "transform": (BASE + '[transforms.t]\ntype = "filter"\ndrop = "("\n', r"transforms\.t"),
    "missing file": (
        BASE + '[transforms.t]\ntype = "plan"\nfile = "none.json"\n',
        r"transforms\.t\.file",
    ),
    "group": (BASE + 'only = { group = "none" }\n', r"there is no group 'none'"),
    "mapping": (BASE + 'mapping = { set = { "a.b" = 1 } }\n', r"destinations\.out\.mapping"),
    "data_dir": ('data_dir = "other"\n' + BASE, "data_dir: is .*while the gateway runs"),
    "queue": (BASE + '[queue]\ntype = "nowhere"\n', r"queue\.type: there is no queue type"),
    "variable": (BASE + 'tag = "${NOT_SET_ANYWHERE}"\n', "NOT_SET_ANYWHERE is not set"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_config_that_cannot_be_used_changes_nothing(
    harness: GatewayHarness, kind: str
) -> None:
    """A wrong config is refused with its reason, and the old one stays until a correct one."""
    text, problem = BAD[kind]
    async with harness.gateway().running() as gateway:
        config, worker, intake = gateway.config, gateway.workers["out"], gateway.intake
        with pytest.raises(GatewayError, match=problem):
            await reloaded(gateway, harness, text)
        assert (gateway.config, gateway.intake) == (config, intake)
        assert gateway.workers == {"out": worker}
        assert [one.state for one in harness.made[:1]] == ["started"]
        assert {one.state for one in harness.made[1:]} <= {"built", "stopped"}
        await send(gateway, "a")
        await caught_up(gateway)
        status = gateway.reloads.status()
        assert status.hash == config.hash
        assert status.problem
        assert gateway.reloads.results == {"applied": 0, "refused": 1}
        await reloaded(gateway, harness, BASE + 'tag = "good"\n')
        assert gateway.reloads.status().problem == ""
        await send(gateway, "b")
        await caught_up(gateway)
    assert harness.tags["out"] == ["", "good"]


async def test_fixed_keys_wait_for_a_start_and_the_rest_is_used(harness: GatewayHarness) -> None:
    """Fixed keys keep their values and are named; all others change."""
    async with harness.gateway().running() as gateway:
        server = BASE.replace("[server]", "[server]\nport = 1\nmax_connections = 5")
        more = '[queue]\nack = "memory"\nsegment_bytes = 5_000_000\n'
        more += '[dedup]\nwindow_hours = 1.0\n[admin]\ntoken = "0123456789abcdef"\n'
        done = await reloaded(gateway, harness, server + SECOND + more)
        assert done.waits == [
            "server.port",
            "dedup.window_hours",
            "queue.ack",
            "queue.segment_bytes",
            "admin",
        ]
        assert done.changes == ["added destinations.b", "changed server"]
        assert (gateway.config.server.port, gateway.config.server.max_connections) == (8080, 5)
        assert gateway.config.queue[0].ack == "fsync"
        assert gateway.reloads.status().waits == done.waits
        done = await reloaded(gateway, harness, BASE)
        assert done.waits == []


def test_what_runs_is_checked_as_a_whole(tmp_path: Path) -> None:
    """A file is checked with the running number of workers, not with its own."""
    file = tmp_path / "config.toml"
    file.write_text("[server]\nworkers = 2\n" + BASE.replace("[server]\n", "#"))
    running = load(file)
    file.write_text(BASE + 'ordering = "user"\n')
    with pytest.raises(GatewayError, match=r"destinations\.out\.ordering"):
        kept(running, load(file))


def test_changes_are_told_by_kind_and_id(tmp_path: Path) -> None:
    """The result names changes by kind and id, and a new order of transforms."""
    file = tmp_path / "config.toml"
    one, two = (f'[transforms.{name}]\ntype = "sample"\npercent = 5\n' for name in "ab")
    file.write_text(BASE + one + two)
    before = load(file)
    file.write_text(BASE.replace('"k"', '"l"') + two + one)
    assert changes(before, load(file)) == [
        "changed sources.web",
        "changed the order of transforms",
    ]


async def test_it_is_in_the_audit_trail(harness: GatewayHarness) -> None:
    """The audit trail records actor and changes, but no reload without changes."""
    async with harness.gateway().running() as gateway:
        await gateway.reload("SIGHUP")
        await reloaded(gateway, harness, BASE + SECOND)
        (entry,) = await gateway.audit.entries()
        assert (entry.actor, entry.action) == ("tests", "config.reload")
        assert entry.detail["changes"] == ["added destinations.b"]


async def test_a_gateway_that_stops_does_not_reload(harness: GatewayHarness) -> None:
    """A gateway that is starting or stopping answers to try again."""
    gateway = harness.gateway()
    with pytest.raises(GatewayError, match="starting or stopping"):
        await gateway.reload("tests")
    async with gateway.running():
        pass
    with pytest.raises(GatewayError, match="starting or stopping"):
        await gateway.reload("tests")


async def test_stopping_does_not_wait_for_a_reload(harness: GatewayHarness) -> None:
    """Stopping cancels a reload that hangs, and stops both of its destinations."""
    began = asyncio.Event()

    async def behave(one: HarnessDestination, _: Batch) -> None:
        began.set()
        await asyncio.sleep(3600)

    harness.behave = behave
    loop = asyncio.get_running_loop()
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await began.wait()
        harness.write(BASE + 'tag = "new"\n')
        reloading = asyncio.create_task(gateway.reload("tests"))
        while len(harness.made) < 2 or harness.made[1].state != "started":
            await asyncio.sleep(0.001)
        before = loop.time()
    assert loop.time() - before < 5
    assert reloading.cancelled() or reloading.exception() is not None
    assert [one.state for one in harness.made] == ["stopped", "stopped"]
