"""`gateway demo`: playing in time, counting, and the whole command."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from gateway.cli.demo.board import Board
from gateway.cli.demo.command import CONFIG
from gateway.cli.demo.play import Pace, play
from gateway.cli.process import ServerProcess, free_port
from gateway.errors import GatewayError, Permanent
from gateway.testing import Answer, FakeVendor
from tests.support.in_process import make_gateway

ROOT = Path(__file__).parents[2]


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Viewed",
        "messageId": f"m-{number}",
        "anonymousId": f"anonymous-{number}",
        "timestamp": "2026-01-05T10:00:00.000Z",
        **more,
    }


def every(seconds: float) -> Iterator[tuple[float, dict[str, Any]]]:
    return ((number * seconds, event(number)) for number in count())


class Stage:
    """A gateway that takes a fixed time for each batch, and a clock that only moves by waiting."""

    def __init__(self, seconds_per_batch: float = 0.0) -> None:
        self.now = 100.0
        self.batches: list[tuple[float, list[str]]] = []
        self.stop = asyncio.Event()
        self._cost = seconds_per_batch

    async def send(self, events: list[bytes]) -> None:
        ids = [msgspec.json.decode(data)["messageId"] for data in events]
        self.batches.append((self.now - 100.0, ids))
        self.now += self._cost

    async def wait(self, stop: asyncio.Event, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    async def play(self, events: Any, duration: float, speed: float = 1.0) -> Board:
        board = Board(duration, speed)
        await play(
            events,
            self,  # type: ignore[arg-type]
            board,
            Pace(duration, speed, self.stop, lambda: self.now, self.wait),
        )
        return board

    @property
    def ids(self) -> list[str]:
        return [id_ for _, ids in self.batches for id_ in ids]


# -- playing -------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1, 7, 100])
async def test_events_are_sent_when_they_are_due(speed: float) -> None:
    """Each event goes out in order, not before its time and at most a quarter second after it."""
    stage = Stage()
    board = await stage.play(every(0.01 * speed), duration=5, speed=speed)
    assert stage.ids == [f"m-{n}" for n in range(500)]
    assert board.sent == 500
    for sent_at, ids in stage.batches:
        dues = [int(id_[2:]) * 0.01 for id_ in ids]
        assert all(-1e-6 <= sent_at - due <= 0.25 + 1e-6 for due in dues)


async def test_batches_are_those_of_an_sdk() -> None:
    """No batch has more than a hundred events, however many are due."""
    stage = Stage()
    await stage.play(every(0.001), duration=1)
    assert {len(ids) for _, ids in stage.batches} == {100}


async def test_a_slow_gateway_is_not_sent_more_at_once() -> None:
    """With slow batches fewer events are sent by the end, in order, and nothing piles up."""
    stage = Stage(seconds_per_batch=0.5)
    await stage.play(every(0.001), duration=3)
    assert [len(ids) for _, ids in stage.batches] == [100] * 6
    assert stage.ids == [f"m-{n}" for n in range(600)]


async def test_stopping_early_sends_what_is_collected() -> None:
    """After `stop` only the current batch is sent."""

    def events() -> Iterator[tuple[float, dict[str, Any]]]:
        for number, item in enumerate(every(0.01)):
            if number == 42:
                stage.stop.set()
            yield item

    stage = Stage()
    await stage.play(events(), duration=60)
    assert stage.ids == [f"m-{n}" for n in range(42)]


async def test_a_batch_that_cannot_be_sent_ends_the_play() -> None:
    """The error is raised, and events that were not accepted do not count as sent."""

    class Refusing(Stage):
        async def send(self, events: list[bytes]) -> None:
            raise Permanent("no")

    board = Board(1, 1)
    stage = Refusing()
    with pytest.raises(Permanent):
        await play(
            every(0.01),
            stage,  # type: ignore[arg-type]
            board,
            Pace(1, 1, stage.stop, lambda: stage.now, stage.wait),
        )
    assert board.sent == 0


# -- the board -------------------------------------------------------------------


def counts(**changes: int) -> Counter[tuple[str, str]]:
    numbers = {"accepted": 10, "delivered": 7, "filtered": 3, "dead": 0, "pending": 0} | changes
    return Counter(
        {
            ("headgate_events_accepted_total", "shop"): numbers["accepted"],
            ("headgate_destination_delivered_total", "files"): numbers["delivered"],
            ("headgate_destination_filtered_total", "files"): numbers["filtered"],
            ("headgate_destination_dead_total", "files"): numbers["dead"],
            ("headgate_destination_pending_events", "files"): numbers["pending"],
        }
    )


def board_of(sent: int = 10, **changes: int) -> Board:
    board = Board(30, 1)
    for number in range(sent):
        board.record(event(number))
    board.count(counts(**changes), Counter())
    return board


@pytest.mark.parametrize(
    ("changes", "settled", "complete"),
    [
        ({}, True, True),
        ({"pending": 2, "delivered": 5}, False, False),
        ({"dead": 1, "delivered": 6}, True, False),
        ({"delivered": 6}, True, False),
        ({"accepted": 9, "delivered": 6}, True, False),
    ],
)
def test_complete_means_nothing_is_missing(
    changes: dict[str, int], settled: bool, complete: bool
) -> None:
    """Complete: all accepted, each delivered or filtered everywhere, none dead or pending."""
    board = board_of(**changes)
    assert (board.settled, board.complete) == (settled, complete)


def test_without_counts_nothing_is_complete() -> None:
    """A gateway that does not answer proves nothing."""
    board = Board(30, 1)
    assert not board.settled
    assert not board.complete
    assert "cannot be had" in board.summary()


def test_what_was_there_before_does_not_count() -> None:
    """Counters start with the demo; pending is the current number."""
    board = Board(30, 1)
    board.count(counts(pending=4), counts(accepted=4, delivered=2, filtered=0))
    row = board.destinations["files"]
    assert (board.accepted, row.delivered, row.filtered, row.pending) == (6, 5, 3, 4)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A burst long ago has no part in the rate."""
    board = Board(60, 1)
    for second in range(20):
        for number in range(1000 if second == 2 else 10):
            board.record(event(number))
        board.tick(float(second))
    assert board.rate == pytest.approx(10)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_board_can_be_shown_on_any_terminal(width: int) -> None:
    """The board renders at every width, and text of clients is never read as markup."""
    board = board_of(dead=1, pending=2)
    board.record(event(1, event="[bold]Odd[/nonsense]", properties={"category": "[red]"}))
    board.trouble = "HTTP 503: [full]"
    board.tick(1.0)
    console = Console(width=width)
    with console.capture() as capture:
        console.print(board)
    shown = capture.get()
    assert "files" in shown
    if width == 200:
        assert "[bold]Odd[/nonsense]" in shown
        assert "HTTP 503: [full]" in shown


def test_the_summary_names_what_is_missing() -> None:
    """Dead, pending and filtered events are in the summary and in the line."""
    board = board_of(dead=1, pending=2)
    assert "7 to files, 3 filtered by config, 1 dead letters, 2 pending" in board.summary()
    assert "delivered 7, filtered 3, dead 1, pending 2" in board.line()


# -- the gateway of its own --------------------------------------------------------


def test_the_config_of_the_demo_is_good(tmp_path: Path) -> None:
    """A gateway can be built from it with any write key."""
    key = 'quote " and \\ and é'
    text = CONFIG.format(port=8080, write_key=msgspec.json.encode(key).decode())
    gateway = make_gateway(tmp_path, text)
    assert gateway.intake.source_of(key) == "shop"
    assert {built.id for built in gateway.destinations} == {"files", "canary"}


async def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    """The error quotes its output, so nobody has to search for a log."""
    config = tmp_path / "config.toml"
    config.write_text("nonsense")

    async def never() -> bool:
        return False

    process = ServerProcess(("gateway", "serve", "--config", str(config)), tmp_path / "log", never)
    with pytest.raises(GatewayError, match=r"ended with exit code 2\n(.|\n)*is not TOML"):
        async with process:
            pass


async def test_a_server_that_does_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process is left behind, even if it ignores SIGTERM."""
    monkeypatch.setattr("gateway.cli.process._STOP_SECONDS", 0.05)
    output = tmp_path / "log"
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"

    async def healthy() -> bool:
        return output.stat().st_size > 0

    process = ServerProcess(("timeit", "-n1", "-r1", f"{deaf}; time.sleep(60)"), output, healthy)
    async with process:
        pass
    assert await process.stop() == -signal.SIGKILL


# -- the command -------------------------------------------------------------------


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def test_the_whole_demo() -> None:
    """The demo starts a gateway, all events arrive everywhere, and nothing is left behind."""
    process = await start("--duration", "1", "--speed", "10", "--rate", "300", "--seed", "7")
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    said = output.decode()
    sent = int(re.findall(r"^sent +(\d+) events", said, re.MULTILINE)[0])
    assert sent > 100
    assert f"accepted   {sent}\n" in said
    assert f"delivered  {sent} to files\n" in said
    delivered, filtered = map(int, re.findall(r"(\d+) to canary, (\d+) filtered", said)[0])
    assert delivered + filtered == sent


async def test_interrupting_the_demo_ends_it_in_order() -> None:
    """After Ctrl-C the sent events are delivered and summed up."""
    process = await start("--duration", "60")
    assert process.stdout is not None
    while b"accepted" not in (line := await process.stdout.readline()):
        assert line, "it ended before it sent anything"
    process.send_signal(signal.SIGINT)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert re.search(rb"^delivered +\d+ to files", output, re.MULTILINE)


async def test_a_running_gateway_is_played_into() -> None:
    """With an address nothing is started; batches arrive there until the time is up."""
    async with FakeVendor(default=Answer(json={"success": True})) as vendor:
        process = await start("--url", vendor.url, "--duration", "0.5", "--speed", "50")
        output, errors = await process.communicate()
        batches = [r.json()["batch"] for r in vendor.requests if r.path == "/v1/batch"]
    assert process.returncode == 0, errors.decode()
    assert f"sent       {sum(map(len, batches))} events".encode() in output


async def test_the_same_seed_has_the_same_ids() -> None:
    """Two demos with one seed send the same events, so that the second one counts duplicates."""
    async with FakeVendor(default=Answer(json={"success": True})) as vendor:
        first: list[str] = []
        for _ in range(2):
            del vendor.requests[:]
            process = await start(
                *("--url", vendor.url, "--duration", "0.3", "--speed", "20", "--seed", "3")
            )
            await process.communicate()
            batches = [r.json()["batch"] for r in vendor.requests if r.path == "/v1/batch"]
            ids = [e["messageId"] for batch in batches for e in batch]
            first = first or ids
    shared = min(len(first), len(ids))
    assert shared > 10
    assert first[:shared] == ids[:shared]


async def test_a_refusal_fails_the_demo() -> None:
    """A wrong write key is reported, and the exit code is 1."""
    async with FakeVendor(default=Answer(status=401, json={"message": "unknown key"})) as vendor:
        process = await start("--url", vendor.url, "--duration", "5")
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"HTTP 401: unknown key" in errors


async def test_an_address_that_is_none_is_wrong_use() -> None:
    """A wrong address gives exit code 2 and names the option."""
    process = await start("--url", "nonsense")
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"--url" in errors


async def test_a_port_that_is_free_can_be_listened_on() -> None:
    """The port found is not taken."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", free_port())
    server.close()
    await server.wait_closed()
