"""Nothing that plugin code raises reaches beyond the plugin."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from gateway.components import isolation, lifecycle
from gateway.components.chain import Chain
from gateway.components.component import Component
from gateway.components.isolation import call, contained, left_behind
from gateway.components.lifecycle import StartTimeout, start
from gateway.components.transform import Transform
from gateway.errors import GatewayError, PluginCrash
from gateway.events.event import Event
from gateway.testing import make_event
from tests.support.crashes import CRASHES, Panic
from tests.support.waiting import until


@pytest.fixture
def own_sigint() -> Iterator[None]:
    """The process handles SIGINT itself, as `gateway serve` does."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.usefixtures("own_sigint")
async def test_a_crash_in_plugin_code_is_an_ordinary_error(crash: type[BaseException]) -> None:
    """What is no Exception becomes PluginCrash, both in sync code and in a call."""

    async def work() -> None:
        await asyncio.sleep(0)
        raise crash

    with pytest.raises(PluginCrash, match=crash.__name__), contained:
        raise crash
    with pytest.raises(PluginCrash, match=crash.__name__):
        await call(work)


async def test_ctrl_c_is_not_taken_for_a_crash() -> None:
    """KeyboardInterrupt passes where the process leaves SIGINT to Python."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), contained:
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)


async def test_code_that_cancels_its_own_task_does_not_cancel_the_caller() -> None:
    """Plugin code that cancels the task it runs in fails alone."""

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(PluginCrash, match="CancelledError"):
        await call(work)


async def test_a_cancellation_of_the_caller_reaches_the_code_and_passes_on() -> None:
    """A caller that is cancelled first lets the code end, and then ends as cancelled."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    task = asyncio.create_task(call(work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_code_that_ignores_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call returns after its time limit, even if the code goes on."""
    monkeypatch.setattr(isolation, "CANCEL_SECONDS", 0.01)
    release = asyncio.Event()

    async def work() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    with pytest.raises(TimeoutError):
        await call(work, 0.01)
    assert left_behind() == 1
    release.set()
    await until(lambda: not left_behind())


async def test_a_result_that_comes_with_the_cancellation_counts() -> None:
    """Code that finishes its work when it is cancelled at the time limit has succeeded."""

    async def work() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "committed"
        return ""

    assert await call(work, 0.01) == "committed"


class _Hangs(Component):
    async def start(self) -> None:
        await asyncio.sleep(60)


async def test_a_start_that_hangs_is_named_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log names a component that is still starting, and its time limit ends the start."""
    monkeypatch.setattr(lifecycle, "_SLOW_START_SECONDS", 0.0)
    text = r"destinations\.x: has not started within 0\.05 s"
    with capture_logs() as logs, pytest.raises(StartTimeout, match=text):
        await start("destinations.x", _Hangs(), 0.05)
    assert [line["component"] for line in logs] == ["destinations.x"]


async def test_a_start_that_crashes_is_refused_by_name() -> None:
    """SystemExit in start is an error with the component's name."""

    class Exits(Component):
        async def start(self) -> None:
            raise SystemExit(3)

    with pytest.raises(GatewayError, match=r"sources\.x: cannot be started: .*SystemExit"):
        await start("sources.x", Exits(), 1)


class _Poisoned(Transform):
    """Crashes on one event, and in each of its optional methods."""

    def __init__(self, crash: type[BaseException]) -> None:
        self.crash = crash

    def apply(self, events: list[Event]) -> list[Event]:
        if any(event.event == "poison" for event in events):
            raise self.crash
        return events

    def passes(self, text: bytes | memoryview) -> bool:
        raise self.crash

    def suspects(self, text: bytes) -> list[int]:
        raise self.crash

    def keeps(self, ids: object) -> list[bool]:
        raise self.crash


@pytest.mark.parametrize("crash", [*CRASHES, ValueError])
@pytest.mark.usefixtures("own_sigint")
def test_a_crash_in_a_transform_costs_its_event_only(crash: type[BaseException]) -> None:
    """Other events of the batch go on; the event that crashes the transform never does."""
    events = [make_event(event=name) for name in ("one", "poison", "two")]
    outcome = Chain([("t", _Poisoned(crash))]).run(events)

    assert [event.event for event in outcome.kept] == ["one", "two"]
    assert [(event.event, id_) for event, id_, _ in outcome.failed] == [("poison", "t")]


@pytest.mark.parametrize("crash", [Panic, ValueError])
def test_an_optional_method_that_fails_leaves_the_decision_to_apply(
    crash: type[BaseException],
) -> None:
    """A method that cannot answer counts as one that cannot tell: every event is looked at."""
    chain = Chain([("t", _Poisoned(crash))])

    assert chain.passes(b"{}") is False
    assert chain.suspects(b"{}") is None
    assert chain.rules([make_event()]) is None
