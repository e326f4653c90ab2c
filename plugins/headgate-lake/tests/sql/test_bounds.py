"""A query that takes too much ends alone, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from headgate_lake import (
    Lake,
    Limits,
    QueriesBusy,
    Query,
    QueryCancelled,
    QueryInvalid,
    QueryOutOfMemory,
    QueryOutOfTime,
    Runner,
)
from headgate_lake.sql.process import Spares

ENDLESS = "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b"


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(range) FROM range(100000000)",
        "SELECT length(repeat('x', 2000000000))",
        pytest.param("SELECT repeat('x', 100000000) FROM range(50)", marks=pytest.mark.long),
        pytest.param(
            "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(1000000)",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "SELECT sum(len(a)) FROM "
            "(SELECT array_agg(i) AS a FROM range(50000000) t(i) GROUP BY i % 2)",
            marks=pytest.mark.long,
        ),
    ],
)
def test_too_much_memory_ends_the_query_alone(runner: Runner, sql: str) -> None:
    """A query that needs more memory than it may have fails; the next one runs."""
    with pytest.raises(QueryOutOfMemory):
        runner.run(Query(sql=sql))
    assert runner.run(Query(sql="SELECT 1")).rows == [(1,)]


def test_a_killed_process_is_named(shop: Lake) -> None:
    """A process that the kernel ends, as it does where memory runs out, is told from others."""
    with Runner(shop) as runner:
        runner.run(Query(sql="SELECT 1"))
        spare = runner._spares.take()
        runner._spares.prepare(spare)
        threading.Thread(target=_kill_in_use, args=(runner, spare.pid)).start()
        with pytest.raises(QueryOutOfMemory, match="SIGKILL"):
            runner.run(Query(sql=ENDLESS))


def _kill_in_use(runner: Runner, pid: int) -> None:
    """Kills the process that stands ready as soon as a query has taken it."""
    _until(lambda: runner._spares._spare is None)
    os.kill(pid, signal.SIGKILL)


def test_too_much_disk_ends_the_query(shop: Lake, limits: Limits, spares: Spares) -> None:
    """A query that spills more than it may fails, and its files are removed."""
    small = msgspec.structs.replace(limits, memory_bytes=50_000_000, spill_bytes=50_000_000)
    sql = "SELECT * FROM (SELECT md5(range::VARCHAR) s FROM range(1500000)) ORDER BY s"
    with (
        Runner(shop, small, spares) as runner,
        pytest.raises(QueryOutOfMemory, match="spill_bytes"),
    ):
        runner.run(Query(sql=sql))
    assert not list((shop.folder / "queries").glob("slot-*/*"))


def test_too_much_time_ends_the_query(shop: Lake, spares: Spares) -> None:
    """A query that takes longer than it may is ended."""
    with (
        Runner(shop, Limits(seconds=0.3), spares) as runner,
        pytest.raises(QueryOutOfTime, match=r"0\.3 s"),
    ):
        runner.run(Query(sql=ENDLESS))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT regexp_matches(repeat('a', 50000), '(a+)+$b')",
        "SELECT regexp_matches('a', '((((a{100}){100}){100}){100})')",
        "SELECT regexp_full_match(repeat('ab', 9999), '(.*)(.*)(.*)c')",
    ],
)
def test_regular_expressions_are_no_bombs(runner: Runner, sql: str) -> None:
    """A regular expression that would take for ever elsewhere is quick, or is refused."""
    with suppress(QueryInvalid):  # which running out of time is not
        runner.run(Query(sql=sql))


def test_a_large_answer_is_cut(shop: Lake, limits: Limits, spares: Spares) -> None:
    """An answer ends at its most bytes, and says so."""
    small = msgspec.structs.replace(limits, max_answer_bytes=1_000_000, max_rows=100_000)
    with Runner(shop, small, spares) as runner:
        answer = runner.run(Query(sql="SELECT repeat('x', 900) FROM range(100000)"))
    assert answer.truncated
    assert 0 < answer.bytes <= 1_000_000


def test_so_many_run_at_once(shop: Lake, spares: Spares) -> None:
    """A query beyond those that may run at once waits, and is refused after a while."""
    limits = Limits(at_once=1, wait_seconds=0.2)
    stop = threading.Event()
    with Runner(shop, limits, spares) as runner, Runner(shop, limits, spares) as other:
        first = threading.Thread(target=_run_until_cancelled, args=(runner, stop))
        first.start()
        _until(lambda: bool(list((shop.folder / "queries").glob("slot-0/"))))
        with pytest.raises(QueriesBusy) as busy:
            other.run(Query(sql="SELECT 1"))
        assert busy.value.retry_after_seconds > 0
        stop.set()
        first.join()
        assert other.run(Query(sql="SELECT 1")).rows == [(1,)]


def _run_until_cancelled(runner: Runner, stop: threading.Event) -> None:
    with pytest.raises(QueryCancelled):
        runner.run(Query(sql=ENDLESS), stop)


async def test_a_cancelled_call_ends_its_query(shop: Lake, spares: Spares) -> None:
    """Where the caller gives up, the process of the query ends too, and its turn is free."""
    with Runner(shop, Limits(at_once=1), spares) as runner:
        call = asyncio.create_task(runner.run_async(Query(sql=ENDLESS)))
        await asyncio.sleep(0.3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        answer = await runner.run_async(Query(sql="SELECT 1"))
    assert answer.rows == [(1,)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_query_does_not_outlive_its_gateway(shop: Lake) -> None:
    """Where the process that asked is killed, that of the query ends, and its files are removed."""
    program = (
        "import sys, pathlib; from headgate_lake import Lake, Runner, Query\n"
        "lake = Lake.open(pathlib.Path(sys.argv[1]))\n"
        "Runner(lake).run(Query(sql=sys.argv[2]))"
    )
    asker = subprocess.Popen([sys.executable, "-c", program, str(shop.folder), ENDLESS])
    children = Path(f"/proc/{asker.pid}/task/{asker.pid}/children")
    _until(lambda: bool(children.read_text().split()))
    child = int(children.read_text().split()[0])
    slot = shop.folder / "queries" / "slot-0"
    _until(slot.exists)
    (slot / "left").touch()
    asker.kill()
    asker.wait()
    _until(lambda: _ended(child))
    with Runner(shop):
        assert not slot.exists()


def test_a_spare_process_is_used_again_and_ends(shop: Lake) -> None:
    """A process serves one query after the other, and ends with its runner."""
    with Runner(shop) as runner:
        runner.run(Query(sql="SELECT 1"))
        spare = runner._spares.take()
        runner._spares.prepare(spare)
        runner.run(Query(sql="SELECT count(*) FROM events"))
        assert runner._spares.take() is spare
        runner._spares.prepare(spare)
    assert not spare.alive


def test_a_spare_process_ends_after_a_while(shop: Lake) -> None:
    """A process that stands ready for too long ends."""
    with Runner(shop, Limits(spare_seconds=0.1)) as runner:
        runner.run(Query(sql="SELECT 1"))
        _until(lambda: runner._spares._spare is None)
