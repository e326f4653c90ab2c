"""The lake and its figures count the people of the graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway import Context, Event, Subjects
from gateway.testing import make_batch, make_config, make_context
from headgate_lake.sql.command import sql
from headgate_lake.testing import write_lake
from headgate_profiles.config import ProfilesConfig
from headgate_profiles.destination import ProfilesDestination

CONFIG = """
[destinations.lake]
type = "lake"
path = "lake"

[destinations.profiles]
type = "profiles"
"""

Sent = Callable[..., Event]


def history(sent: Sent) -> list[Event]:
    """Makes the events of Ada on two devices, and of Bob, who uses the second one later."""
    return [
        sent(1, anonymous_id="mobile"),
        sent(2, anonymous_id="mobile", user_id="ada"),
        sent(3, anonymous_id="laptop"),
        sent(4, anonymous_id="laptop", user_id="ada"),
        sent(5, anonymous_id="laptop"),
        sent(6, anonymous_id="laptop", user_id="bob"),
        sent(7, anonymous_id="laptop"),
        sent(8, anonymous_id="stranger"),
    ]


@pytest.fixture
def ask(tmp_path: Path, sent: Sent) -> Callable[..., list[list[Any]]]:
    """Asks a lake with the history, whose people are in the graph."""
    (tmp_path / "config.toml").write_text(CONFIG)
    write_lake(tmp_path / "lake", history(sent))

    def answer(text: str, *words: str) -> list[list[Any]]:
        config = str(tmp_path / "config.toml")
        done = CliRunner().invoke(sql, [text, "--json", "--config", config, *words])
        assert done.exit_code == 0, done.output
        found: list[list[Any]] = json.loads(done.stdout)["rows"]
        return found

    return answer


def context_of(folder: Path) -> Context:
    return replace(make_context(folder), id="profiles", shared_dir=folder / "data")


async def learn(folder: Path, events: list[Event]) -> None:
    destination = ProfilesDestination(make_config(ProfilesConfig, {}), context_of(folder))
    await destination.start()
    await destination.send(make_batch(events))
    await destination.stop()


PEOPLE = "SELECT count(DISTINCT person) AS people, count(*) AS events FROM events"


async def test_events_have_the_persons_of_the_graph(
    ask: Callable[..., list[list[Any]]], tmp_path: Path, sent: Sent
) -> None:
    """Ada's devices are one person; what a shared device sends alone is nobody's from then on."""
    assert ask(PEOPLE) == [[3, 8]]
    await learn(tmp_path, history(sent))
    assert ask(PEOPLE) == [[4, 8]]
    rows = ask("SELECT list(second(ts) ORDER BY ts) AS at FROM events GROUP BY person")
    seconds = sorted(row[0] for row in rows)
    assert seconds == [[1, 2, 3, 4, 5], [6], [7], [8]]


async def test_an_identity_is_raw_or_as_known_then(
    ask: Callable[..., list[list[Any]]], tmp_path: Path, sent: Sent
) -> None:
    """`--identity raw` counts visitors, and a time counts people as they were known then."""
    await learn(tmp_path, history(sent))
    assert ask(PEOPLE, "--identity", "raw") == [[3, 8]]
    # Bob was not known yet, and the laptop was not Ada's.
    then = "2026-11-23T14:00:03Z"
    rows = ask(
        "SELECT list(second(ts) ORDER BY ts) AS at FROM events GROUP BY person",
        *("--identity", then),
    )
    seconds = sorted(row[0] for row in rows)
    assert seconds == [[1, 2, 4], [3, 5, 6, 7], [8]]


async def test_erased_people_are_in_no_file(
    ask: Callable[..., list[list[Any]]], tmp_path: Path, sent: Sent
) -> None:
    """After an erasure no file holds a byte of the person's identifiers."""
    events = [
        sent(1, anonymous_id="anon-of-ada", user_id="ada-lovelace"),
        sent(2, anonymous_id="anon-of-bob", user_id="bob-babbage"),
        sent(3, type="identify", user_id="ada-lovelace", traits={"email": "ada@example.org"}),
        sent(4, anonymous_id="anon-of-ada", user_id="bob-babbage"),
    ]
    destination = ProfilesDestination(make_config(ProfilesConfig, {}), context_of(tmp_path))
    await destination.start()
    await destination.send(make_batch(events))
    ask(PEOPLE)
    assert list((tmp_path / "data" / "profiles").glob("people-*"))
    done = await destination.erase(Subjects(users=frozenset({"ada-lovelace"})))
    held = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    await destination.stop()
    assert (done.status, done.items) == ("FINISHED", 3)
    assert "1 of them were seen with other people" in done.detail
    assert b"bob-babbage" in held
    for text in (b"ada-lovelace", b"anon-of-ada", b"ada@example.org"):
        assert text not in held


async def test_a_worker_learns_again_whom_another_has_erased(tmp_path: Path, sent: Sent) -> None:
    """After an erasure by one worker, new events of the person are learned by all workers."""
    config = make_config(ProfilesConfig, {})
    first, second = (ProfilesDestination(config, context_of(tmp_path)) for _ in range(2))
    events = [sent(1, user_id="ada", anonymous_id="laptop")]
    for worker in (first, second):
        await worker.start()
        await worker.send(make_batch(events))
    await second.erase(Subjects(users=frozenset({"ada"})))
    await first.send(make_batch(events))
    gone = await first.erase(Subjects(users=frozenset({"ada"})))
    assert gone.items == 2
    for worker in (first, second):
        await worker.stop()
