"""Links of users to visitors."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.groups import GroupConfig
from gateway.config.settings import IdentityConfig
from gateway.errors import StateError
from gateway.events.conditions.unit import visitor_of
from gateway.events.envelope.arrival import Arrival
from gateway.events.envelope.heads import examine, read_heads
from gateway.events.envelope.sealed import Origin, seal, stored_events
from gateway.events.event import Event, encode_events
from gateway.events.subjects import Subjects
from gateway.identity.links import FILE_NAME, LinkFile, Mark
from gateway.identity.visitors import Identity
from gateway.rollouts.groups import Groups
from gateway.runtime.gateway import Gateway
from gateway.testing import make_event
from tests.support.gateway_harness import BASE, GatewayHarness
from tests.support.identity_links import (
    alias,
    as_sent,
    identity,
    seen,
    store,
    visitors,
)
from tests.support.in_process import caught_up


def test_who_is_identified_stays_whom_he_was() -> None:
    """Any event with both ids links its user; other visitors of that user stay themselves."""
    one = identity()
    assert visitors(one, seen("ada")) == ["ada"]  # of whom nothing is known yet
    assert visitors(one, seen("ada", "phone", type="identify")) == ["phone"]
    assert visitors(one, seen("ada"), seen(None, "phone")) == ["phone", "phone"]
    assert visitors(one, seen("bob", "desk")) == ["desk"]
    assert visitors(one, seen("bob")) == ["desk"]


def test_the_first_link_holds() -> None:
    """The first link of a user holds, and a second device keeps its own arm."""
    one = identity()
    assert visitors(one, seen("ada", "phone"), seen("ada", "desk")) == ["phone", "desk"]
    assert visitors(one, seen("ada")) == ["phone"]


def test_an_alias_links_its_user_to_its_previous_id() -> None:
    """An alias links to its previousId, or to that user's visitor, before its anonymousId."""
    one = identity()
    assert visitors(one, alias("ada", "phone")) == ["phone"]
    assert visitors(one, alias("countess", "ada", "other")) == ["other"]
    assert visitors(one, seen("countess")) == ["phone"]
    assert visitors(one, seen("x", type="track", previous_id="phone")) == ["x"]  # no alias


def test_a_link_holds_for_all_of_its_request() -> None:
    """A link holds for all events of its request, also for earlier ones."""
    assert visitors(identity(), seen("ada"), seen("ada", "phone")) == ["phone", "phone"]


@pytest.mark.parametrize(
    "event", [seen("ada", "ada"), seen("ada", " "), seen(" ", "phone"), alias("ada", "ada")]
)
def test_what_says_nothing_is_no_link(event: Event) -> None:
    """Equal, blank or absent ids make no link, and a later link is the first."""
    one = identity()
    one.learn([event])
    assert len(one) == 0
    assert visitors(one, seen("ada", "phone"), seen("ada")) == ["phone", "phone"]


def test_links_are_bounded() -> None:
    """Over the limits no new user is linked and each try is counted; existing links stay."""
    one = identity(max_links=2, max_id_chars=5)
    events = [seen("a", "1"), seen("b", "2"), seen("c", "3"), seen("d", "4")]
    assert visitors(one, *events, seen("a")) == ["1", "2", "3", "4", "1"]
    assert len(one) == 2
    assert visitors(one, seen("c")) == ["c"]
    two = identity(max_id_chars=5)
    two.learn([seen("abcdef", "1"), seen("a", "123456"), seen("abcde", "12345")])
    assert len(two) == 1
    assert (one.refused, two.refused) == ({"full": 2}, {"long_id": 2})


def test_what_transforms_make_of_ids_is_linked() -> None:
    """After the transforms, visitors are noted again by the changed ids."""
    one = identity()
    events = [seen("ada", "phone"), seen("ada")]
    one.preview(events, events)
    assert visitor_of(events[1]) == "phone"
    assert len(one) == 0
    for event in events:
        event.user_id = "hash of ada"
    events[0].anonymous_id = "hash of phone"
    assert visitors(one, *events) == ["hash of phone", "hash of phone"]
    assert b"ada" not in encode_events(events).replace(b"hash of ada", b"")
    assert b'"phone' not in encode_events(events)


ids = st.sampled_from(["a", "b", "c", "A", "B", " "])
requests = st.lists(
    st.lists(
        st.builds(
            lambda kind, user, anonymous, previous: seen(
                user, anonymous, type=kind, previous_id=previous, event="E"
            ),
            st.sampled_from(["track", "alias", "identify"]),
            ids,
            st.none() | ids,
            st.none() | ids,
        ),
        max_size=4,
    ),
    max_size=6,
)


@settings(deadline=None)
@given(requests)
def test_both_paths_learn_the_same(sent: list[list[Event]]) -> None:
    """The fast path and the slow path learn the same links."""
    one, other = identity(), identity()
    for request in sent:
        data = encode_events(request)
        heads = read_heads(msgspec.json.encode([as_sent(event) for event in request]))
        if heads is None or examine(heads).odd:
            continue
        origin = Origin("web", 1_795_442_400_000, visitors=one.learn(heads))
        _, stored = seal(origin, data, len(request), addressed=False)
        sealed = list(stored_events(stored))
        singly = [event.copy() for event in sealed]
        for event in singly:
            event.raw_notes = Event().raw_notes
        other.learn_and_note(singly, singly)
        assert [visitor_of(event) for event in sealed] == [visitor_of(event) for event in singly]
    assert one._links == other._links


async def test_it_begins_when_something_needs_visitors(tmp_path: Path) -> None:
    """Linking starts when a used group goes by user, at a start or at a reload."""
    harness = GatewayHarness(tmp_path)
    unused = BASE + "[groups.g]\n[groups.h]\nby = 'event'\nstamp = true\n"
    used = unused.replace("[destinations.out]", "[destinations.out]\nonly = { group = 'g' }")

    async def take_in(gateway: Gateway, event: Event) -> str | None:
        await gateway.intake.accept(Arrival("web", gateway.clock(), [event]))
        await caught_up(gateway)
        return visitor_of(event)

    harness.write(unused)
    async with harness.gateway().running() as gateway:
        assert not gateway.identity.active
        assert await take_in(gateway, seen("ada", "phone")) == "phone"
        assert await take_in(gateway, seen("ada")) == "ada"
        harness.write(used)
        await gateway.reload("tests")
        assert gateway.identity.active
        assert await take_in(gateway, seen("ada", "desk")) == "desk"
        assert await take_in(gateway, seen("ada")) == "desk"
    async with harness.gateway().running() as gateway:
        assert await take_in(gateway, seen("ada")) == "desk"


async def test_links_survive_a_restart(tmp_path: Path) -> None:
    """Links survive a restart, in a file that only its owner can read."""
    path, queue = tmp_path / FILE_NAME, store()
    one = identity(path)
    await one.start(queue)
    one.learn([seen("ada", "phone")])
    await one.stop()
    await one.stop()
    assert path.stat().st_mode & 0o777 == 0o600
    two = identity(path)
    await two.start(queue)
    assert visitors(two, seen("ada")) == ["phone"]
    await two.stop()


async def test_what_a_crash_took_back_is_learned_again_from_the_queue(tmp_path: Path) -> None:
    """After a crash, links are learned again from the queue, from the mark on."""
    path = tmp_path / FILE_NAME
    queue = store([seen("old", "x")])
    one = identity(path)
    await one.start(queue)
    await one.stop()
    for request in ([seen("ada", "phone"), seen("bob", "desk")], [seen("ada", "other")]):
        queue.write([encode_events(request)], [len(request)], sync=True)
    two = identity(path)
    await two.start(queue)
    assert two._links == {"ada": "phone", "bob": "desk"}
    await two.stop()


async def test_a_queue_that_was_removed_is_learned_from_anew(tmp_path: Path) -> None:
    """The mark of another queue is ignored."""
    path = tmp_path / FILE_NAME
    one = identity(path)
    await one.start(store([make_event()] * 10))
    await one.stop()
    two = identity(path)
    await two.start(store([seen("ada", "phone")]))
    assert two._links == {"ada": "phone"}
    await two.stop()


async def test_workers_share_links_and_the_first_one_holds(tmp_path: Path) -> None:
    """The first worker to write a link wins, and the others read it."""
    path = tmp_path / FILE_NAME
    log = structlog.get_logger()
    both = [Identity(path, IdentityConfig(), log, shared=True, shard=n) for n in range(2)]
    for one in both:
        await one.start(store())
    both[0].changed = both[1].read_soon
    both[1].changed = both[0].read_soon
    both[0].learn([seen("ada", "phone")])
    both[1].learn([seen("ada", "desk"), seen("bob", "desk")])
    async with asyncio.timeout(10):
        while any(len(one) < 2 for one in both) or both[0]._links != both[1]._links:
            await asyncio.sleep(0.005)
    assert both[0]._links["bob"] == "desk"
    await both[1].erase(Subjects(frozenset({"ada"})))
    async with asyncio.timeout(10):
        while len(both[0]) > 1:
            await asyncio.sleep(0.005)
    assert both[0]._links == both[1]._links == {"bob": "desk"}
    for one in both:
        await one.stop()


async def test_what_cannot_be_written_is_kept_and_tried_again(tmp_path: Path) -> None:
    """Links that cannot be written to a full disk are kept and tried again."""
    path = tmp_path / FILE_NAME
    one = identity(path)
    await one.start(store())
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE marks")
    one.learn([seen("ada", "phone")])
    await one._write()
    assert one._new == {"ada": "phone"}
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE marks (shard INTEGER PRIMARY KEY, queue_id, next_offset)")
    await one.stop()
    file = LinkFile(path)
    file.open()
    assert file.read().links == {"ada": "phone"}
    file.close()


async def test_what_was_never_written_is_erased_too(tmp_path: Path) -> None:
    """Erasure also removes links that are not written yet."""
    path = tmp_path / FILE_NAME
    one = identity(path)
    await one.start(store())
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE marks")
    one.learn([seen("ada", "phone"), seen("bob", "desk")])
    assert await one.erase(Subjects(frozenset({"ada"}))) == 1
    assert one._links == one._new == {"bob": "desk"}
    await one.stop()


async def test_a_write_that_fails_meanwhile_brings_nobody_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erased links stay erased, also if a write begins during the erasure and fails."""
    path = tmp_path / FILE_NAME
    one = identity(path)
    await one.start(store())
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE marks")
    one.learn([seen("ada", "phone"), seen("bob", "desk")])
    await one._write()
    loop, erase, writes = asyncio.get_running_loop(), one._file.erase, []

    async def begin_to_write() -> None:
        writes.append(asyncio.create_task(one._write()))
        for _ in range(3):
            await asyncio.sleep(0)

    def erase_meanwhile(subjects: Subjects) -> int:
        asyncio.run_coroutine_threadsafe(begin_to_write(), loop).result(10)
        return erase(subjects)

    monkeypatch.setattr(one._file, "erase", erase_meanwhile)
    assert await one.erase(Subjects(frozenset({"ada"}))) == 1
    await asyncio.gather(*writes)
    async with one._writing:  # the writer's own task may try again right away
        assert one._links == one._new == {"bob": "desk"}
    await one.stop()


async def test_what_could_not_be_started_can_be_once_it_is_mended(tmp_path: Path) -> None:
    """A failed start can be repeated once the file is repaired."""
    path = tmp_path / FILE_NAME
    path.write_bytes(b"no database at all" * 100)
    one = identity(path)
    with pytest.raises(StateError, match="move it away"):
        await one.start(store())
    assert not one.active
    path.unlink()
    await one.start(store())
    assert one.active
    await one.stop()


def test_a_file_of_another_release_is_refused(tmp_path: Path) -> None:
    """A file of another release is refused and not changed."""
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 9")
    with pytest.raises(StateError, match="this release reads 1"):
        LinkFile(path).open()


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    """A damaged file stops the start, and the error tells what to do."""
    path = tmp_path / FILE_NAME
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StateError, match="move it away to begin anew"):
        LinkFile(path).open()


@settings(deadline=None)
@given(links=st.dictionaries(st.text(min_size=1), st.text(min_size=1), max_size=5))
def test_ids_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]
) -> None:
    """Ids with any characters are read as written."""
    file = LinkFile(tmp_path_factory.mktemp("links") / FILE_NAME)
    file.open()
    file.add(links.items(), 0, Mark("q", 1))
    file.add([(user, "later") for user in links], 0, Mark("q", 2))
    read = file.read()
    assert (read.links, read.complete) == (links, True)
    assert file.read().links == {}
    assert file.mark(0) == ("q", 2)
    file.close()


def test_no_visitor_is_shown_to_a_destination() -> None:
    """Destinations do not see the noted visitor."""
    one = identity()
    events = [seen("ada", "phone"), seen("ada")]
    one.learn_and_note(events, events)
    assert b"phone" not in events[1].to_json()


def test_a_group_asks_for_the_visitor() -> None:
    """A group by user puts server events into the arm of the same person's browser."""
    group = Groups({"g": GroupConfig(percent=50)}).use("g")
    one = identity()
    for n in range(50):
        events = [seen(None, f"v{n}"), seen(f"u{n}", f"v{n}"), seen(f"u{n}")]
        one.learn_and_note(events, events)
        assert len({group.member(event) for event in events}) == 1
