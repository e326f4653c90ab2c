"""The watch over the event loop."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from pathlib import Path

import pytest

from gateway.testing import loop_watch
from gateway.testing.loop_watch import STALL_SECONDS, LoopWatch, Stalled


async def test_a_blocking_call_is_interrupted() -> None:
    """A blocking call ends soon, and the record names its line."""
    begin = time.monotonic()
    with LoopWatch() as watch, pytest.raises(Stalled):
        time.sleep(60)  # noqa: ASYNC251 - blocks on purpose
    assert time.monotonic() - begin < 30
    assert [Path(__file__).name in place for place in watch.stalls] == [True]


async def test_the_author_may_block() -> None:
    """A pause of the watch allows blocking calls of the test itself."""
    with LoopWatch() as watch:
        with watch.paused():
            time.sleep(1.4 * STALL_SECONDS)  # noqa: ASYNC251 - blocks on purpose
        await asyncio.sleep(0.05)
    assert watch.stalls == []


async def test_waiting_is_no_stall() -> None:
    """A loop that waits for something turns all the time."""
    with LoopWatch() as watch:
        await asyncio.sleep(1.4 * STALL_SECONDS)
    assert watch.stalls == []


async def test_a_loop_that_gets_no_processor_is_not_blocked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A thread that could run, and has used no time, waits for a busy machine."""
    status = tmp_path / "stat"
    status.write_text("7 (a) name) R " + "0 " * 49)
    with LoopWatch() as watch:
        monkeypatch.setattr(watch, "_status", status)
        time.sleep(1.4 * STALL_SECONDS)  # noqa: ASYNC251 - stands for the busy machine
        await asyncio.sleep(0.05)
    assert watch.stalls == []


async def test_collecting_garbage_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the garbage collector is not counted as the destination's; any other is."""
    used = 0.0
    monkeypatch.setattr(time, "thread_time", lambda: used)

    def collector(phase: str, _: dict[str, int]) -> None:
        nonlocal used
        used += 2 * STALL_SECONDS if phase == "start" else 0

    with LoopWatch() as watch:
        gc.callbacks.append(collector)
        gc.collect()
        gc.callbacks.remove(collector)
        await asyncio.sleep(0.05)
        assert watch.stalls == []
        used += 2 * STALL_SECONDS
        await asyncio.sleep(0.05)
    assert watch.stalls == [f"by a computation of {2 * STALL_SECONDS:.1f} s"]


async def test_the_signal_is_given_back() -> None:
    """The handler of the signal is afterwards what it was before."""
    before = signal.getsignal(loop_watch._SIGNAL)
    with LoopWatch():
        assert signal.getsignal(loop_watch._SIGNAL) != before
    assert signal.getsignal(loop_watch._SIGNAL) == before
