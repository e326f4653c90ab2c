"""Lines of users: which events may go, and which wait behind others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.ordering import UserOrder

ids = st.one_of(st.none(), st.sampled_from("abc"))


def lined_up(*users: tuple[str | None, str | None], atomic: bool = False) -> UserOrder:
    """Returns lines with one event for each pair of userId and anonymousId, at offsets from 0."""
    order = UserOrder(atomic=atomic)
    for offset, user in enumerate(users):
        order.enter(offset, *user)
    return order


def test_one_event_of_a_user_goes_at_a_time() -> None:
    """The first event of each user may go, and the next once it has its outcome."""
    order = lined_up(("u", None), ("u", None), ("v", None))
    assert order.choose(range(3), 9) == [0, 2]
    order.leave([0])
    assert order.choose([1, 2], 9) == [1, 2]


def test_to_an_atomic_destination_all_of_a_user_go_together() -> None:
    """All events of a user may go together, in order, if no other stands before them."""
    order = lined_up(("u", None), ("u", None), ("u", None), atomic=True)
    assert order.choose(range(3), 9) == [0, 1, 2]
    assert order.choose([1, 2], 9) == []
    assert order.choose([0, 2], 9) == [0]
    assert order.choose(range(3), 2) == [0, 1]


def test_a_visitor_who_is_identified_stays_in_order() -> None:
    """An event with both ids keeps its place in the lines of both."""
    order = lined_up((None, "x"), ("u", "x"), ("u", None))
    assert order.choose(range(3), 9) == [0]
    order.leave([0])
    assert order.choose([1, 2], 9) == [1]


def test_ids_of_two_kinds_are_two_users() -> None:
    """A userId differs from an equal anonymousId, and events without ids stand in no line."""
    order = lined_up(("x", None), (None, "x"), (None, None), (None, None), ("", ""))
    assert order.choose(range(5), 9) == [0, 1, 2, 3, 4]


def test_an_older_event_that_comes_back_goes_first() -> None:
    """Offsets make the order, not the time of entering; entering twice is harmless."""
    order = UserOrder(atomic=False)
    for offset in (7, 3, 7):
        order.enter(offset, "u", None)
    assert order.choose([3, 7], 9) == [3]
    order.leave([3])
    assert order.choose([7], 9) == [7]
    order.leave([7])
    assert len(order) == 0


def test_who_stands_behind_the_retry_lane_is_known() -> None:
    """An event is held up by earlier events of its user that were set aside, and by no others."""
    order = lined_up(("u", None), ("u", None), ("v", None))
    order.set_aside([0, 2])
    assert [order.held_up(offset) for offset in range(3)] == [False, True, False]
    assert [order.behind(offset) for offset in range(3)] == [0, 1, 0]


@given(st.lists(st.tuples(ids, ids), max_size=12), st.data(), st.booleans())
def test_whatever_happens_each_user_is_in_order(
    users: list[tuple[str | None, str | None]], data: st.DataObject, atomic: bool
) -> None:
    """In whatever order sends end, no event goes before an earlier one of its user."""
    order = lined_up(*users, atomic=atomic)
    left = list(range(len(users)))
    gone: set[int] = set()
    while left:
        batch = order.choose(left, data.draw(st.integers(1, 5)))
        assert batch
        for offset in batch:
            mine = {("u", users[offset][0]), ("a", users[offset][1])} - {("u", None), ("a", None)}
            earlier = {
                other
                for other in range(offset)
                if mine & {("u", users[other][0]), ("a", users[other][1])}
            }
            before_it = set(batch[: batch.index(offset)]) if atomic else set()
            assert earlier <= gone | before_it
        # An atomic batch ends as one. In any other, any event may have its outcome first.
        done = batch if atomic else data.draw(st.lists(st.sampled_from(batch), min_size=1))
        gone.update(done)
        order.leave(done)
        left = [offset for offset in left if offset not in gone]
    assert len(order) == 0
