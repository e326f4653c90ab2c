"""The state store: cursors, counts and dead letters agree with each other."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from gateway.errors import StateError
from gateway.state import (
    Attempt,
    Commit,
    Discard,
    Offsets,
    State,
    Tally,
    Waiting,
    reading,
    schema,
    writing,
)
from gateway.state.ledger.counts import DestinationCounts
from gateway.state.ledger.statement import statement
from tests.support.dead_letters import make_dead_letter
from tests.support.sizes import examples


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
async def state(path: Path) -> AsyncIterator[State]:
    state = State(path)
    await state.start()
    yield state
    await state.stop()


async def reopened(path: Path) -> tuple[dict[str, int], dict[str, DestinationCounts]]:
    """Returns cursors and counts as the next process reads them."""
    state = State(path)
    await state.start()
    try:
        return await state.cursors(), await state.counts()
    finally:
        await state.stop()


async def test_a_new_store_is_empty(state: State) -> None:
    """No destination has a cursor before its first commit."""
    assert (await state.cursors(), await state.counts()) == ({}, {})
    assert await state.dead_letters("crm") == []


async def test_a_commit_moves_the_cursor_and_adds_to_the_counts(state: State) -> None:
    """A commit sets the destination's own cursor and adds to its own counts."""
    await state.commit(
        Commit("crm", 10, delivered=7, filtered={"consent": 2}, dead=[make_dead_letter(9)])
    )
    await state.commit(Commit("crm", 15, delivered=3, filtered={"consent": 1, "sample": 1}))
    await state.commit(Commit("lake", 12, delivered=12))
    assert await state.cursors() == {"crm": 15, "lake": 12}
    assert await state.counts() == {
        "crm": DestinationCounts(10, Counter(consent=3, sample=1), Counter(rejected=1)),
        "lake": DestinationCounts(12),
    }


async def test_a_commit_of_nothing_keeps_the_cursor(state: State) -> None:
    """A commit without events stores the cursor and no counts."""
    await state.commit(Commit("crm", 500))
    assert (await state.cursors(), await state.counts()) == ({"crm": 500}, {})


async def test_events_lost_to_damage_are_dead(state: State) -> None:
    """Lost events count as dead, without dead letters."""
    commit = Commit("crm", 5, dead=[make_dead_letter(1, "damaged")], lost=3)
    assert commit.dead_counts() == Counter(damaged=4)
    await state.commit(commit)
    assert (await state.counts())["crm"].dead == Counter(damaged=4)
    assert len(await state.dead_letters("crm")) == 1


async def test_dead_letters_newest_first(state: State) -> None:
    """A dead letter reads as it was written, of its destination only, up to the limit."""
    letters = [make_dead_letter(n, event=Raw(b'{"n":"\xc3\xa9"}')) for n in range(5)]
    await state.commit(Commit("crm", 3, dead=letters[:3]))
    await state.commit(Commit("lake", 9, dead=[make_dead_letter(8)]))
    await state.commit(Commit("crm", 5, dead=letters[3:]))
    found = await state.dead_letters("crm")
    assert [structs.replace(one, id=0, destination="") for one in found] == letters[::-1]
    assert [(one.id, one.destination) for one in found] == [(id_, "crm") for id_ in (6, 5, 3, 2, 1)]
    assert await state.dead_letters("crm", 2) == found[:2]


async def test_a_commit_is_all_or_nothing(state: State, path: Path) -> None:
    """A commit that fails half way changes neither cursor nor counts."""
    await state.commit(Commit("crm", 10, delivered=10))
    with pytest.raises(StateError, match=r"state\.sqlite"):
        await state.commit(
            Commit(
                "crm",
                20,
                delivered=9,
                dead=[make_dead_letter(12), make_dead_letter(13, message_id=None)],
            )
        )
    assert await state.cursors() == {"crm": 10}
    assert await state.counts() == {"crm": DestinationCounts(10)}
    assert await state.dead_letters("crm") == []

    await state.commit(Commit("crm", 20, delivered=10))
    assert (await state.cursors())["crm"] == 20


async def test_what_was_committed_survives_the_process(path: Path) -> None:
    """A copy of a killed process's files holds every commit."""
    state = State(path)
    await state.start()
    for n in range(1, 6):
        await state.commit(Commit("crm", n, delivered=1))
    killed = path.parent / "killed"
    killed.mkdir()
    for file in path.parent.glob("state.sqlite*"):
        (killed / file.name).write_bytes(file.read_bytes())
    assert await reopened(killed / path.name) == ({"crm": 5}, {"crm": DestinationCounts(5)})
    await state.stop()
    assert await reopened(path) == ({"crm": 5}, {"crm": DestinationCounts(5)})


async def test_many_commits_at_once(state: State) -> None:
    """Concurrent commits of several destinations lose no count."""
    await asyncio.gather(*(state.commit(Commit(f"d{n % 4}", n, delivered=1)) for n in range(100)))
    assert sum(counts.delivered for counts in (await state.counts()).values()) == 100


async def test_life_cycle(path: Path) -> None:
    """stop() is safe twice and without start(); using a closed store is an error."""
    unused = State(path)
    with pytest.raises(StateError, match="is not open"):
        await unused.cursors()
    await unused.stop()
    await unused.stop()

    state = State(path)
    await state.start()
    await state.stop()
    await state.stop()
    with pytest.raises(StateError, match="is closed"):
        await state.commit(Commit("crm", 1))


async def refusal(path: Path) -> str:
    """Returns the error of opening the store."""
    state = State(path)
    with pytest.raises(StateError) as caught:
        await state.start()
    await state.stop()
    return str(caught.value)


def test_files_that_are_no_state(path: Path) -> None:
    """Damage, another release and a missing folder raise a StateError with the file's name."""
    path.write_bytes(b"not a database" * 100)
    assert asyncio.run(refusal(path)).startswith(f"{path}: file is not a database; ")

    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert asyncio.run(refusal(path)).startswith(f"{path} was written by a later release")

    missing = path.parent / "missing" / path.name
    assert asyncio.run(refusal(missing)).startswith(f"{missing}: No such file or directory")


commits = st.lists(
    st.builds(
        Commit,
        st.sampled_from(["crm", "lake"]),
        st.integers(0, 2**62),
        st.integers(0, 5),
        st.dictionaries(st.sampled_from(["consent", "sample", "é'"]), st.integers(0, 5)),
        st.lists(
            st.builds(
                make_dead_letter, st.integers(0, 99), st.sampled_from(["rejected", "expired"])
            )
        ).map(tuple),
        st.integers(0, 3),
    ),
    max_size=6,
)


@given(commits)
@settings(max_examples=examples(10, 100))  # each opens a file twice
def test_against_a_model(tmp_path_factory: pytest.TempPathFactory, sequence: list[Commit]) -> None:
    """After any commits the next process reads the last cursors and the sums of all counts."""
    cursors: dict[str, int] = {}
    finished: Counter[str] = Counter()
    for commit in sequence:
        assert commit.cursor is not None
        cursors[commit.destination] = commit.cursor
        finished[commit.destination] += commit.delivered + sum(commit.filtered.values())
        finished[commit.destination] += commit.dead_counts().total()

    async def run(path: Path) -> tuple[dict[str, int], dict[str, DestinationCounts]]:
        state = State(path)
        await state.start()
        for commit in sequence:
            await state.commit(commit)
        await state.stop()
        return await reopened(path)

    folder = tmp_path_factory.mktemp("model")
    read_cursors, counts = asyncio.run(run(folder / "state.sqlite"))
    assert read_cursors == cursors
    assert {id_: entry.finished for id_, entry in counts.items()} == +finished


@given(st.sets(st.integers(0, 500), min_size=1, max_size=60))
def test_a_set_of_offsets_holds_just_those(offsets: set[int]) -> None:
    """A set of offsets contains exactly the given ones, whatever the gaps."""
    found = Offsets.of(offsets)
    assert {offset for offset in range(-2, 503) if offset in found} == offsets
    assert len(found) == len(offsets)
    assert (found.members is None) == (max(offsets) - min(offsets) + 1 == len(offsets))


async def test_attempts_are_found_by_offset(state: State) -> None:
    """Reading by offset returns the event's own attempts in order."""
    attempts = [
        Attempt(Offsets.of([3, 5]), "delivered", "", 10, 1.5),
        Attempt(Offsets.of([4]), "retry", "busy", 11, 2.0),
        Attempt(Offsets.of([4]), "dead", "no", 12, 2.0),
    ]
    await state.commit(Commit("crm", attempts=attempts))
    assert await state.call(reading.attempts, 4) == [("crm", attempts[1]), ("crm", attempts[2])]
    assert await state.call(reading.attempts, 5) == [("crm", attempts[0])]
    assert await state.call(reading.attempts, 6) == []


async def test_what_is_about_old_events_is_forgotten(state: State) -> None:
    """Attempts at deleted events and discards beyond the bounds are deleted."""
    old, new = Offsets.of([1, 2]), Offsets.of([2, 9])
    attempts = [Attempt(offsets, "delivered", "", 0) for offsets in (old, new)]
    await state.commit(Commit("crm", attempts=attempts))
    discards = [Discard(ms, "web", f"m{ms}", "duplicate") for ms in range(10)]
    await state.add_tally(Tally(discards=discards))
    assert not await state.prune(3, since_ms=2, max_discards=5)
    assert await state.call(reading.attempts, 2) == [("crm", attempts[1])]
    left = [ms for ms in range(10) if await state.call(reading.discards, f"m{ms}")]
    assert left == [5, 6, 7, 8, 9]


def test_a_file_of_the_first_release_is_taken_over(path: Path) -> None:
    """A state file of the first release keeps cursors, counts and retry lane, and balances."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            schema._V1
            + """
            INSERT INTO cursors VALUES ('crm', 110);
            INSERT INTO outcomes VALUES ('crm', 'delivered', '', 90);
            INSERT INTO outcomes VALUES ('crm', 'dead', 'rejected', 3);
            INSERT INTO dead_letters VALUES
                (1, 'crm', 5, 'web', 'm', 'rejected', 'no', 1, 0, 0, '{}');
            INSERT INTO waiting VALUES ('crm', 7, 'web', 'm', 'busy', 1, 0, 0, 0, 0, '{}');
            PRAGMA user_version = 1;
            """
        )
    with closing(schema.connect(path)) as db:
        (crm,) = statement(db, 120).destinations
        assert (crm.base, crm.missing, crm.delivered, crm.pending) == (16, 0, 90, 11)
        assert reading.dead_letters(db, "crm", 1)[0].exchange == ""
    with closing(schema.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


async def test_an_error_that_sqlite_itself_has_no_code_for_is_a_state_error(state: State) -> None:
    """An error of Python's own module, without a code, raises a StateError too."""

    def misuse(db: sqlite3.Connection) -> None:
        db.execute("SELECT ?", (1, 2))

    with pytest.raises(StateError, match=r"state\.sqlite: Incorrect number of bindings"):
        await state.call(misuse)


async def test_waiting_events_age_little_while_no_gateway_runs(state: State) -> None:
    """A clock that was set in between must not make them look tried for days."""
    waiting = [
        Waiting(0, "web", "a", "503", 1, 1000, 2000, 3000, False, b"{}"),
        Waiting(1, "web", "b", "503", 1, 1500, 5000, 6000, False, b"{}"),
    ]
    await state.commit(Commit("crm", cursor=2, waiting=waiting))
    for now_ms in (5100, 800_000, 800_000):
        await state.call(writing.bound_downtime, now_ms, 100)
    found = await state.waiting_at("crm", [0, 1])

    shift = 800_000 - 5000 - 100
    assert [entry.first_ms for entry in found] == [1000 + shift, 1500 + shift]
    assert [entry.last_ms for entry in found] == [2000 + shift, 5000 + shift]


async def test_a_full_disk_costs_the_reserve_and_no_delivery(state: State, path: Path) -> None:
    """What fails for want of room is done again in the room that was kept for it, once."""
    (path.parent / "reserve").write_bytes(b"0")

    def full(db: sqlite3.Connection) -> int:
        calls.append(1)
        if (path.parent / "reserve").exists():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return 5

    calls: list[int] = []
    assert await state.call(full) == 5
    assert len(calls) == 2


async def test_a_file_that_is_moved_away_is_begun_anew(state: State, path: Path) -> None:
    """Commits would go to a file without a name; with its folder it is made again."""
    await state.commit(Commit("crm", cursor=2, delivered=2))
    await asyncio.to_thread(path.rename, path.with_name("archived.sqlite"))
    await state.commit(Commit("crm", cursor=3, delivered=1))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT next_offset FROM cursors").fetchall() == [(3,)]
    with closing(sqlite3.connect(path.with_name("archived.sqlite"))) as db:
        assert db.execute("SELECT next_offset FROM cursors").fetchall() == [(2,)]
