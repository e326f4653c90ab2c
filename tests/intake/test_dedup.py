"""Recent message ids."""

from __future__ import annotations

from itertools import count, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.events.event import Event
from gateway.intake import dedup
from gateway.intake.dedup import RecentIds

WINDOW_MS = 1000


def made(*ids: str) -> list[Event]:
    return [Event(type="track", message_id=id_) for id_ in ids]


def take(recent: RecentIds, *ids: str, now_ms: int = 0, source: str = "web") -> list[str]:
    """Returns the ids that are new."""
    return [event.message_id for event in recent.take_new(source, made(*ids), now_ms)]


def test_case_38_the_second_time_it_is_a_duplicate() -> None:
    """Each id is new once, in one request and over several, and its first event is kept."""
    recent = RecentIds(WINDOW_MS, 100)
    events = made("a", "b", "a")
    assert recent.take_new("web", events, 0) == events[:2]
    assert recent.take_new("web", events, 0)[:1] == []
    assert take(recent, "b", "c") == ["c"]
    assert len(recent) == 3


def test_case_38_each_source_has_its_own_ids() -> None:
    """The same id from another source is another event."""
    recent = RecentIds(WINDOW_MS, 100)
    assert take(recent, "a", source="web") == ["a"]
    assert take(recent, "a", source="app") == ["a"]


def test_what_was_not_stored_may_come_again() -> None:
    """`forget` undoes `take_new` for the given events only."""
    recent = RecentIds(WINDOW_MS, 100)
    new = recent.take_new("web", made("a", "b"), 0)
    take(recent, "c")
    recent.forget("web", new)
    assert len(recent) == 1
    assert take(recent, "a", "b", "c") == ["a", "b"]


def test_forgetting_reaches_the_previous_generation() -> None:
    """`forget` also finds ids that have moved to the previous generation."""
    recent = RecentIds(WINDOW_MS, 100)
    new = recent.take_new("web", made("a", "b"), 0)
    take(recent, "c", now_ms=WINDOW_MS)
    recent.forget("web", new)
    assert take(recent, "a", "c", now_ms=WINDOW_MS) == ["a"]


def test_forgetting_what_was_never_taken() -> None:
    """Forgetting an unknown id, or one of an unknown source, does nothing."""
    recent = RecentIds(WINDOW_MS, 100)
    take(recent, "a")
    recent.forget("web", made("b"))
    recent.forget("app", made("a"))
    assert len(recent) == 1


def test_ids_are_forgotten_after_two_windows() -> None:
    """After two windows ids are forgotten, so memory follows the current rate."""
    recent = RecentIds(WINDOW_MS, 100)
    take(recent, "a", now_ms=WINDOW_MS)
    assert take(recent, "a", now_ms=2 * WINDOW_MS - 1) == []
    assert take(recent, now_ms=2 * WINDOW_MS) == []
    assert take(recent, "a", now_ms=3 * WINDOW_MS) == ["a"]
    assert len(recent) == 1


def test_a_clock_that_is_set_back_forgets_nothing() -> None:
    """A clock that is set back lets no duplicate through."""
    recent = RecentIds(WINDOW_MS, 100)
    take(recent, "a", now_ms=10 * WINDOW_MS)
    take(recent, "b", now_ms=0)
    assert take(recent, "a", "b", now_ms=1) == []


def test_preloaded_ids_are_duplicates() -> None:
    """Ids of stored events are duplicates after the start, for their own source."""
    recent = RecentIds(WINDOW_MS, 100)
    assert recent.preload([("web", ["a", "b"]), ("app", ["c"])], now_ms=5000) == 3
    assert take(recent, "a", "c", "d", now_ms=5000 + WINDOW_MS - 1) == ["c", "d"]


@pytest.mark.parametrize("max_entries", [1, 2, 7, 100])
def test_preload_stops_at_half_of_the_bound(max_entries: int) -> None:
    """Preloading takes the newest ids, and stops reading at half of the limit."""
    recent = RecentIds(WINDOW_MS, max_entries)
    endless = (("web", [str(n), str(n + 1)]) for n in count(step=2))
    loaded = recent.preload(endless, now_ms=0)
    assert loaded == len(recent) == max(1, max_entries // 2)
    assert take(recent, "0") == []


def test_what_is_forgotten_is_freed_a_little_at_a_time() -> None:
    """Forgotten ids are freed a few per request, until none is left."""
    recent = RecentIds(WINDOW_MS, 1_000_000)
    recent.preload([("web", [str(n) for n in range(5000)])], now_ms=0)
    assert take(recent, "a", now_ms=WINDOW_MS) == ["a"]
    left = [sum(map(len, recent._forgotten))]
    while recent._forgotten:
        take(recent, "a", now_ms=WINDOW_MS)
        left.append(sum(map(len, recent._forgotten)))
    assert left[0] == 5000
    assert left[-1] == 0
    assert max(before - after for before, after in pairwise(left)) < 200
    assert take(recent, "a", "4999", now_ms=WINDOW_MS) == ["4999"]


requests = st.lists(
    st.tuples(
        st.sampled_from(["web", "app"]),
        st.lists(st.integers(0, 60).map(str), max_size=8),
        st.integers(0, WINDOW_MS // 2),
        st.booleans(),
    ),
    max_size=16,
)


@example(
    [
        ("web", ["a", "b"], 0, True),
        ("web", ["c", "d", "e", "f", "f", "g"], 0, True),
        ("web", ["h", "f", "f", "i", "j"], 0, True),
        ("app", ["k", "f", "l", "b", "f", "m"], 0, True),
    ],
    8,
    65_536,
)
@given(requests, st.integers(8, 60), st.sampled_from([1, 4, 65_536]))
def test_against_a_model(
    steps: list[tuple[str, list[str], int, bool]], max_entries: int, part_ids: int
) -> None:
    """Ids within window and limit are not forgotten; one request at most exceeds the limit.

    The model remembers for each id when it was taken, and how many ids came in since. An id is a
    duplicate while it is younger than the window and among the newest half of the limit. The two
    may differ by the size of one request, because room for all its ids is made first.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup, "_PART_IDS", part_ids)
        recent = RecentIds(WINDOW_MS, max_entries)
    taken: dict[tuple[str, str], tuple[int, int]] = {}
    now_ms = 10 * WINDOW_MS
    number = 0
    largest = 0
    for source, ids, passed, stored in steps:
        now_ms += passed
        largest = max(largest, len(ids))
        events = made(*ids)
        new = recent.take_new(source, events, now_ms)
        new_ids = [event.message_id for event in new]
        assert len(set(new_ids)) == len(new_ids)
        assert set(ids) - set(new_ids) <= {id_ for s, id_ in taken if s == source}
        for id_ in new_ids:
            at_ms, was = taken.get((source, id_), (-WINDOW_MS, 0))
            old = now_ms - at_ms >= WINDOW_MS
            crowded_out = number - was + largest > max_entries // 2
            assert old or crowded_out
        if stored:
            for id_ in new_ids:
                number += 1
                taken[source, id_] = (now_ms, number)
        else:
            recent.forget(source, new)
            for id_ in new_ids:
                taken.pop((source, id_), None)
        assert len(recent) <= max_entries + largest


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(2, 100))
def test_the_bound_holds_for_any_sizes_of_requests(sizes: list[int], max_entries: int) -> None:
    """For requests of up to half of the limit, no more ids than the limit are remembered."""
    recent = RecentIds(WINDOW_MS, max_entries)
    numbers = count()
    for size in sizes:
        fitting = min(size, max(1, max_entries // 2))
        take(recent, *(str(next(numbers)) for _ in range(fitting)))
        assert len(recent) <= max_entries


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=4), max_size=12))
def test_a_request_is_judged_as_its_events_one_by_one(requests: list[list[str]]) -> None:
    """Taking a whole request at once gives the same result as taking its events one by one."""
    whole, single = RecentIds(WINDOW_MS, 100), RecentIds(WINDOW_MS, 100)
    for ids in requests:
        assert take(whole, *ids) == [new for id_ in ids for new in take(single, id_)]
        assert len(whole) == len(single)
