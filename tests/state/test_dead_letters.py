"""Dead letters are found, sent again and dropped, also beside a running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.commands.dead import dead
from gateway.errors import Permanent, StateError
from gateway.events.event import Event
from gateway.state import Commit, DeadLetter, State
from gateway.state.dead_letters import DeadLetters, Filter
from gateway.state.ledger.statement import statement
from tests.support.gateway_harness import GatewayHarness
from tests.support.in_process import caught_up, send


def letter(offset: int, reason: str = "rejected", **fields: str) -> DeadLetter:
    event = Event(type="track", message_id=f"m{offset}", source_id="web", **fields)
    return DeadLetter.of(event, offset, reason, "400: no", 2, 1000, 2000 + offset)


@pytest.fixture(name="letters")
async def _letters(tmp_path: Path) -> DeadLetters:
    (tmp_path / "data").mkdir()
    state = State(tmp_path / "data" / "state.sqlite")
    await state.start()
    await state.commit(
        Commit(
            "crm",
            3,
            dead=[
                letter(0, event="Bought", user_id="ada"),
                letter(1, "expired", event="Seen", user_id="bob"),
            ],
        )
    )
    await state.commit(Commit("lake", 9, dead=[letter(2, event="Bought", anonymous_id="ada")]))
    await state.stop()
    return DeadLetters(tmp_path / "data" / "state.sqlite")


@pytest.mark.parametrize(
    ("which", "offsets"),
    [
        (Filter(), [2, 1, 0]),
        (Filter(destination="crm"), [1, 0]),
        (Filter(reason="expired"), [1]),
        (Filter(event="Bought"), [2, 0]),
        (Filter(event="track"), [2, 1, 0]),
        (Filter(user="ada"), [2, 0]),
        (Filter(since_ms=2001), [2, 1]),
        (Filter(until_ms=2001), [1, 0]),
        (Filter(ids=(1, 3)), [2, 0]),
        (Filter(destination="crm", user="ada"), [0]),
        (Filter(user="' OR 1 --"), []),
    ],
)
def test_filters_say_which_are_meant(
    letters: DeadLetters, which: Filter, offsets: list[int]
) -> None:
    """Filters combine, and the newest dead letters come first."""
    assert [entry.offset for entry in letters.find(which, 100)] == offsets
    assert sum(letters.count(which).values()) == len(offsets)


async def test_retry_moves_to_the_lane_and_the_counts_follow(letters: DeadLetters) -> None:
    """A retried dead letter waits in the retry lane and no longer counts as dead."""
    assert letters.retry(Filter(destination="crm", reason="rejected"), 5000) == 1
    state = State(letters._path)
    await state.start()
    due, _ = await state.due("crm", 5000, 10, 60_000)
    standing = await state.standing("crm")
    await state.stop()

    assert [(w.offset, w.message_id, w.attempts, w.first_ms) for w in due] == [(0, "m0", 0, 5000)]
    assert (standing[0], standing[1].dead) == (1, {"expired": 1})
    assert letters.count(Filter()) == {("crm", "expired"): 1, ("lake", "rejected"): 1}


async def test_one_that_is_dead_twice_is_sent_once_and_the_ledger_balances(
    letters: DeadLetters,
) -> None:
    """An event that is dead twice, or waits already, is sent once; the ledger balances."""
    state = State(letters._path)
    await state.start()
    await state.commit(Commit("crm", replayed=1, dead=[letter(0)], replay=(1, 1)))
    assert letters.retry(Filter(destination="crm"), 5000) == 3
    await state.commit(Commit("crm", replayed=1, dead=[letter(0)], replay=(1, 1)))
    assert letters.retry(Filter(destination="crm"), 5000) == 1
    waiting, counts = await state.standing("crm")
    found = await state.call(statement, 9)
    await state.stop()

    assert (waiting, counts.dead, counts.filtered) == (2, {}, {"already waiting": 2})
    assert [one.missing for one in found.destinations] == [0, 0]


async def test_dropped_ones_stay_counted(letters: DeadLetters) -> None:
    """Dropped dead letters stay counted as dead."""
    assert letters.drop(Filter(destination="crm")) == 2
    state = State(letters._path)
    await state.start()
    standing = await state.standing("crm")
    await state.stop()

    assert (standing[0], standing[1].dead) == (0, {"rejected": 1, "expired": 1})
    assert letters.find(Filter(destination="crm"), 10) == []


def test_without_a_state_file_it_says_so(tmp_path: Path) -> None:
    """A folder without a state file is an error, not an empty result."""
    with pytest.raises(StateError, match="no state file"):
        DeadLetters(tmp_path / "state.sqlite").find(Filter(), 1)


@pytest.fixture(name="run")
def _run(letters: DeadLetters, tmp_path: Path) -> object:
    config = tmp_path / "config.toml"
    config.write_text('data_dir = "data"\n')

    def run(*words: str, answer: str = "") -> str:
        result = CliRunner().invoke(dead, [*words, "--config", str(config)], input=answer)
        return f"{result.exit_code} {result.output}"

    return run


def test_the_commands_show_retry_and_drop(run: object) -> None:
    """list counts by reason, show prints JSON, retry and drop ask first."""
    assert callable(run)
    assert "crm: 1 expired" in run("list")
    entry = json.loads(run("show", "--json", "--user", "ada", "-d", "crm").partition(" ")[2])
    assert (entry["event"]["messageId"], entry["detail"]) == ("m0", "400: no")
    assert run("drop", "-d", "lake", answer="n\n").startswith("1 ")
    assert "1 dead letters are gone" in run("drop", "-d", "lake", answer="y\n")
    assert "2 events wait to be sent again" in run("retry", "--yes")
    assert "0 events wait to be sent again" in run("retry", "--yes")
    assert "no dead letters" in run("list")


async def test_a_running_gateway_sends_them_again(tmp_path: Path) -> None:
    """Once the destination works, a retried event arrives with its original id."""
    harness = GatewayHarness(tmp_path)

    def refuse(*_: object) -> None:
        raise Permanent("no such field")

    harness.behave = refuse
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await caught_up(gateway)
        assert gateway.workers["out"].counts.dead == {"rejected": 1}
        harness.behave = None
        letters = DeadLetters(tmp_path / "data" / "state.sqlite")
        assert await asyncio.to_thread(letters.retry, Filter(), gateway.clock()) == 1
        async with asyncio.timeout(15):
            while not harness.got["out"]:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(15):
            while gateway.workers["out"].counts.delivered != 1:
                await asyncio.sleep(0.01)
        counts = gateway.workers["out"].counts

        assert (counts.delivered, counts.dead.total()) == (1, 0)
        assert gateway.workers["out"].pending(gateway.queue.end) == 0
    assert harness.got["out"] == ["a"]
