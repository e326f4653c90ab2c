"""Shadows: nothing is sent, and what would be sent is compared."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.commands.shadow import shadow as shadow_command
from gateway.config.load import load
from gateway.delivery.replay_request import Request
from gateway.delivery.shadow.findings import MOST_CHANGES, MOST_NAMES, MOST_SHOWN_BYTES, _count
from gateway.delivery.shadow.report import ShadowReport, merge_shadows
from gateway.delivery.shadow.shadow import _Budget
from gateway.errors import ConfigError, Misconfigured
from gateway.events.envelope.arrival import Arrival
from gateway.events.event import Event
from gateway.events.subjects import Subjects
from gateway.runtime.gateway import Gateway
from gateway.state.ledger.statement import statement
from gateway.testing import Answer, FakeVendor, ManualClock, make_batch, make_event
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import post_events
from tests.support.in_process import caught_up, make_gateway

CONFIG = """
[server]
port = 0
[admin]
token = "0123456789abcdef"
[sources.web]
type = "segment"
write_key = "demo"
[groups.g]
percent = 50
stamp = true
[transforms.live_only]
type = "filter"
drop = 'event = "OnlyNext" or event = "Neither"'
destinations = ["live"]
[transforms.next_only]
type = "filter"
drop = 'event = "OnlyLive" or event = "Neither"'
destinations = ["next"]
[destinations.live]
type = "webhook"
url = "{url}/live"
headers = {{ X-Key = "a secret of the live one" }}
batch = {{ max_age_seconds = 0.0 }}
[destinations.next]
type = "webhook"
url = "{url}/next"
secret = "a secret of the shadow"
batch = {{ max_age_seconds = 0.0 }}
shadow = {shadow}
{more}
[[destinations.next.mapping]]
if = 'event = "Renamed"'
rename = {{ "properties.total" = "properties.revenue" }}
[[destinations.next.mapping]]
if = 'event = "Unmappable"'
set = {{ "properties.a.b" = 1 }}
"""


class Harness:
    """A gateway in this process, with a receiver."""

    def __init__(self, folder: Path, vendor: FakeVendor, answers: list[Answer]) -> None:
        self.folder = folder
        self.vendor = vendor
        self.answers = answers

    @asynccontextmanager
    async def running(
        self, shadow: str = '{ of = "live" }', more: str = ""
    ) -> AsyncIterator[Gateway]:
        text = CONFIG.format(url=self.vendor.url, shadow=shadow, more=more)
        async with make_gateway(self.folder, text, ManualClock()).running() as gateway:
            yield gateway

    @property
    def sent(self) -> Counter[str]:
        """Returns the events that the receiver got, by path."""
        found = Counter[str]()
        for request in self.vendor.requests:
            found[request.path] += len(request.json()["batch"])
        return found


@pytest.fixture(name="harness")
async def _harness(tmp_path: Path) -> AsyncIterator[Harness]:
    answers = [Answer()]
    async with FakeVendor(default=lambda _: answers[0]) as vendor:
        yield Harness(tmp_path, vendor, answers)


async def take_in(gateway: Gateway, *events: Event) -> None:
    """Takes events in, and waits until all destinations have finished with them."""
    await gateway.intake.accept(Arrival("web", gateway.clock(), list(events)))
    await caught_up(gateway)


def track(name: str, **fields: Any) -> Event:
    return make_event(event=name, **fields)


def report_of(gateway: Gateway) -> ShadowReport:
    shadow = gateway.topology.shadows.get("next")
    assert shadow is not None
    return shadow.report()


EVENTS = ("Same", "Renamed", "Renamed", "OnlyNext", "OnlyLive", "Neither", "Unmappable")


async def take_all(gateway: Gateway) -> None:
    bodies: dict[str, Any] = {"Renamed": {"total": 7}, "Unmappable": {"a": "in the way"}}
    await take_in(gateway, *(track(name, properties=bodies.get(name, {})) for name in EVENTS))


async def test_nothing_is_sent_and_all_is_compared(harness: Harness) -> None:
    """Each event has one outcome, and the live destination gets what it gets without a shadow."""
    async with harness.running() as gateway:
        await take_all(gateway)
        report = report_of(gateway)
    assert harness.sent.keys() == {"/live"}
    assert harness.sent["/live"] == 5
    assert report.counts == {
        "same": 1,
        "different": 2,
        "only_shadow": 1,
        "only_live": 2,
        "neither": 1,
    }
    changed = {"body.batch[].properties.total": 2, "body.batch[].properties.revenue": 2}
    assert report.paths == changed
    assert report.live_why == {"filtered: live_only": 2}
    assert report.shadow_why["filtered: next_only"] == 2
    assert sum(report.shadow_why.values()) == 3


async def test_an_example_says_what_is_different(harness: Harness) -> None:
    """An example has the paths and values that differ, with the requests, and no secret."""
    async with harness.running() as gateway:
        await take_all(gateway)
        report = report_of(gateway)
    assert [one.event for one in report.examples] == [
        "Renamed",
        "Renamed",
        "OnlyNext",
        "OnlyLive",
        "Unmappable",
    ]
    different = report.examples[0]
    changed = {change.path.rpartition(".")[2]: change for change in different.changes}
    assert changed.keys() == {"total", "revenue"}
    assert (changed["total"].was, changed["revenue"].now) == (7, 7)
    assert different.shadow[0]["body"]["batch"][0]["properties"] == {"revenue": 7}
    assert different.live[0]["body"]["batch"][0]["properties"] == {"total": 7}
    assert report.examples[3].shadow_why == "filtered: next_only"
    assert report.examples[3].shadow is None
    assert "a secret of" not in repr(report)
    assert [one.event for one in report.recent] == ["Same", "Renamed", "Renamed", "OnlyNext"]


async def test_books_balance(harness: Harness) -> None:
    """Every event is filtered, by the arm or by the shadow; none is delivered or dead."""
    only = 'only = { group = "g", arm = "test" }'
    async with harness.running(more=only) as gateway:
        events = [track("Same", user_id=f"u{n}") for n in range(60)]
        await take_in(gateway, *events)
        books = await gateway.state.call(statement, gateway.queue.end)
        test = sum(
            member is not None and member.arm == "test"
            for member in map(gateway.groups["g"].member, events)
        )
        assert report_of(gateway).counts == {"same": test}
        assert gateway.topology.memberships.replaced.total() == 0
        (destination,) = [one for one in books.destinations if one.id == "next"]
        assert destination.filtered == {"shadow": test, "group:g": 60 - test}
        assert (destination.delivered, destination.dead, destination.missing) == (0, {}, 0)
        assert books.balanced
        (built,) = [one for one in gateway.destinations if one.id == "next"]
        assert built.counted == {"same": test}  # for `gateway status` and the metrics
        assert harness.sent == {"/live": 60}


@pytest.mark.parametrize(("ignore", "same"), [("[]", 0), ('["headers", "body.batch"]', 3)])
async def test_what_is_ignored_is_no_difference(harness: Harness, ignore: str, same: int) -> None:
    """By default the address is ignored; a named path covers everything below it."""
    async with harness.running(f'{{ of = "live", ignore = {ignore} }}') as gateway:
        await take_all(gateway)
        assert report_of(gateway).counts.get("same", 0) == same
        assert any("Signature" in p for p in report_of(gateway).paths) is not bool(same)


async def test_a_shadow_of_nothing_shows_what_would_be_sent(harness: Harness) -> None:
    """A shadow of no destination shows each request, or the reason why there would be none."""
    async with harness.running("true") as gateway:
        await take_all(gateway)
        report = report_of(gateway)
    assert report.counts == {"sendable": 4, "withheld": 3}
    assert [one.event for one in report.examples] == ["OnlyLive", "Neither", "Unmappable"]
    assert report.of == ""
    assert report.live_why == {}


async def test_no_more_than_the_rate_is_looked_at(harness: Harness) -> None:
    """Events beyond the rate are skipped and counted, and what is kept has bounds."""
    settings = '{ of = "live", max_events_per_second = 30, max_examples = 2 }'
    async with harness.running(settings) as gateway:
        many = {f"k{n}": n for n in range(2 * MOST_CHANGES)}
        large = {"total": "x" * MOST_SHOWN_BYTES}
        events = [track("Renamed", properties={"total": many}) for _ in range(2)]
        events += [track("Renamed", properties=large) for _ in range(98)]
        await take_in(gateway, *events)
        report = report_of(gateway)
    assert report.counts["different"] + report.counts["not_compared"] == 100
    assert 30 <= report.counts["different"] <= 60
    assert len(report.examples) == len(report.recent) == 2
    assert all(len(one.changes) <= MOST_CHANGES for one in report.examples)
    assert len(json.dumps([str(one.shadow) for one in report.recent])) < MOST_SHOWN_BYTES


def test_names_are_bounded() -> None:
    """Beyond the bound, paths and reasons are counted together."""
    counts = Counter[str]()
    for _ in range(2):
        for n in range(MOST_NAMES + 5):
            _count(counts, f"path {n}")
    assert len(counts) == MOST_NAMES + 1
    assert counts["other"] == 10


def test_a_budget_fills_up_to_a_second_s() -> None:
    """Unused budget is kept for one second at most."""
    now = [0.0]
    budget = _Budget(10, lambda: now[0])
    assert [budget.take(7), budget.take(7)] == [7, 3]
    now[0] = 0.5
    assert budget.take(7) == 5
    now[0] = 100.0
    assert budget.take(70) == 10


async def test_erasing_forgets_what_was_kept(harness: Harness) -> None:
    """An erasure drops all examples, whomever they are of; counts stay."""
    async with harness.running() as gateway:
        await take_all(gateway)
        assert report_of(gateway).examples
        made = await gateway.regulations.create("DELETE_ONLY", Subjects(frozenset({"x"})), "me")
        found = await gateway.regulations.wait(made.id, 10)
        assert found is not None
        report = report_of(gateway)
        assert report.examples == report.recent == []
        assert report.counts["different"] == 2
        (place,) = [one for one in found.places if one.place == "destination next"]
        assert (place.status, place.items) == ("FINISHED", 0)


async def test_a_shadow_is_not_replayed_into(harness: Harness) -> None:
    """A replay to a shadow is refused."""
    async with harness.running() as gateway:
        asked = Request(destination="next", from_ms=0, to_ms=2**60, force=True)
        with pytest.raises(ConfigError, match="is a shadow"):
            await gateway.replays.start(asked)


async def test_what_came_before_it_was_a_shadow_is_not_forgotten(harness: Harness) -> None:
    """Events that wait from before are not sent; those sent before still count for erasure."""
    async with harness.running("false") as gateway:
        await take_in(gateway, track("Same", user_id="x"))
        harness.answers[0] = Answer(status=503)
        (next_,) = [worker for worker in gateway.workers.values() if worker.id == "next"]
        await gateway.intake.accept(Arrival("web", gateway.clock(), [track("Same")]))
        async with asyncio.timeout(10):
            while next_.condition.state == "ok":
                await asyncio.sleep(0.002)
    harness.answers[0] = Answer()
    number = harness.sent["/next"]
    async with harness.running() as gateway:
        made = await gateway.regulations.create("DELETE_ONLY", Subjects(frozenset({"x"})), "me")
        found = await gateway.regulations.wait(made.id, 10)
        assert found is not None
        (place,) = [one for one in found.places if one.place == "destination next"]
        assert place.status == "NOT_SUPPORTED"
        with pytest.raises(Misconfigured, match="is a shadow"):
            (built,) = [one for one in gateway.destinations if one.id == "next"]
            await built.destination.send(make_batch())
    assert harness.sent["/next"] == number


async def test_a_reload_makes_a_destination_a_shadow_and_back(harness: Harness) -> None:
    """A reload makes a destination a shadow, which sends nothing, and live again."""
    text = CONFIG.format(url=harness.vendor.url, shadow="SHADOW", more="")
    file = harness.folder / "config.toml"
    async with harness.running("false") as gateway:
        await take_in(gateway, track("Same"), track("OnlyLive"))
        assert harness.sent["/next"] == 1
        for settings in ('{ of = "live" }', '{ of = "live", max_examples = 3 }'):
            file.write_text(text.replace("SHADOW", settings))
            await gateway.reload("tests")
            await take_in(gateway, track("Same"), track("OnlyLive"))
            assert harness.sent["/next"] == 1
            assert report_of(gateway).counts == {"same": 1, "only_live": 1}
        file.write_text(text.replace("SHADOW", "false"))
        await gateway.reload("tests")
        assert gateway.topology.shadows == {}
        await take_in(gateway, track("Same"), track("OnlyLive"))
        assert harness.sent == {"/next": 2, "/live": 8}
        books = await gateway.state.call(statement, gateway.queue.end)
        (destination,) = [one for one in books.destinations if one.id == "next"]
        assert (destination.delivered, destination.filtered) == (2, {"next_only": 2, "shadow": 4})
        assert books.balanced


@pytest.mark.parametrize(
    ("shadow", "more", "why"),
    [
        ('{ of = "nobody" }', "", r"next.shadow.of: there is no destination 'nobody'"),
        ('{ of = "next" }', "", "next is a shadow itself"),
        ('{ off = "live" }', "", "there is no key 'off' here; did you mean 'of'"),
        ('{ of = "off" }', '[destinations.off]\ntype = "null"\nenabled = false', "off is disabled"),
        ('{ of = "live", max_examples = 0 }', "", "Expected `int` >= 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, shadow: str, more: str, why: str) -> None:
    """A shadow that makes no sense is refused at the start, in words."""
    text = CONFIG.format(url="http://127.0.0.1:1", shadow=shadow, more="") + more
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=why):
        load(tmp_path / "config.toml", {})


def test_reports_of_several_workers_are_one() -> None:
    """Counts are added, and examples are put together."""
    one = ShadowReport("s", "l", "b", {"same": 1}, {"p": 2}, {"w": 1}, {}, [], [])
    two = ShadowReport("s", "l", "a", {"same": 2, "neither": 1}, {"q": 3}, {}, {"v": 1}, [], [])
    assert merge_shadows([one, two]) == ShadowReport(
        "s", "l", "a", {"same": 3, "neither": 1}, {"q": 3, "p": 2}, {"w": 1}, {"v": 1}, [], []
    )


async def test_the_command_shows_differences_and_fails_on_them(harness: Harness) -> None:
    """With a real gateway of two workers, the exit code tells whether anything differs."""
    text = CONFIG.format(url=harness.vendor.url, shadow='{ of = "live" }', more="")
    path = harness.folder / "config.toml"
    with GatewayProcess(
        harness.folder, text.replace("port = 0", "port = 0\nworkers = 2")
    ) as gateway:

        def events(*names: str) -> list[dict[str, Any]]:
            return [
                {"type": "track", "event": name, "userId": "u", "properties": {"total": 7}}
                for name in names
            ]

        def run(*words: str) -> tuple[int, str]:
            done = CliRunner().invoke(shadow_command, [*words, "--config", str(path)])
            return done.exit_code, done.output

        for n in range(10):
            await asyncio.to_thread(post_events, gateway.url, events(f"Same{n}"))
        await asyncio.to_thread(gateway.wait_delivered, "next")
        code, output = await asyncio.to_thread(run, "next")
        assert code == 0, output
        assert "10  same" in output
        await asyncio.to_thread(post_events, gateway.url, events("Renamed"))
        await asyncio.to_thread(gateway.wait_delivered, "next")
        code, output = await asyncio.to_thread(run, "next")
        assert code == 1
        assert "properties.revenue" in output
        assert "+ 7" in output
        labels = {"destination": "next", "what": "same"}
        name = "headgate_destination_counted_total"
        assert await asyncio.to_thread(lambda: gateway.metric(name, **labels)) == 10
        code, output = await asyncio.to_thread(run, "live")
        assert code != 0
        assert "no shadow 'live'; there are: next" in output
    assert "/next" not in harness.sent
