"""Packing items into requests, and the outcomes of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Batch, BatchError, DeliveryError, Misconfigured, Permanent, Retryable
from gateway.http import packing as packing_module
from gateway.http.items import Item, RequestLimits, Split
from gateway.http.packing import Packer
from gateway.testing import make_batch

Judge: TypeAlias = Callable[[Sequence[Item]], Mapping[int, DeliveryError]]

ROOMY = RequestLimits(1000, 1_000_000)


class Server:
    """Records requests and answers as `judge` says; by default it accepts all items."""

    def __init__(self, judge: Judge = lambda _: {}):
        self.judge = judge
        self.requests: list[list[tuple[int, str]]] = []
        self.under_way = self.most_under_way = 0

    async def __call__(self, route: Hashable, items: Sequence[Item]) -> Mapping[int, DeliveryError]:
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        self.requests.append([(item.index, item.part) for item in items])
        return self.judge(items)


def packer(limits: RequestLimits = ROOMY, *, parallel: int = 1) -> Packer:
    return Packer(lambda _: limits, parallel=parallel)


def one_each(batch: Batch) -> list[Item]:
    return [Item(index, b"12345") for index in range(len(batch))]


async def test_limits_are_kept_and_nothing_is_left_out() -> None:
    """Requests keep the limits of number and bytes, with separators; no item is left out."""
    batch = make_batch(7)
    server = Server()
    await packer(RequestLimits(3, 1000)).deliver(batch, one_each(batch), server)
    assert [len(request) for request in server.requests] == [3, 3, 1]
    server = Server()
    await packer(RequestLimits(100, 12)).deliver(batch, one_each(batch), server)
    assert [len(request) for request in server.requests] == [2, 2, 2, 1]


async def test_an_item_beyond_the_limit_fails_alone() -> None:
    """An item beyond the limit fails alone; the other items of its batch are sent."""
    batch = make_batch(3)
    items = [Item(0, b"1"), Item(1, b"x" * 11), Item(2, b"3")]
    server = Server()
    with pytest.raises(BatchError) as caught:
        await packer(RequestLimits(10, 1000, 10)).deliver(batch, items, server)
    assert server.requests == [[(0, ""), (2, "")]]
    assert list(caught.value.failed) == [1]
    assert str(caught.value.failed[1]) == "makes 11 bytes, and the destination takes 10"


async def test_a_split_is_halved_down_to_the_one_to_blame() -> None:
    """A split request is halved, in order, until only the items to blame have failed."""

    def judge(items: Sequence[Item]) -> Mapping[int, DeliveryError]:
        if any(item.index == 5 for item in items):
            raise Split("bad")
        return {}

    batch = make_batch(8)
    server = Server(judge)
    with pytest.raises(BatchError) as caught:
        await packer().deliver(batch, one_each(batch), server)
    assert list(caught.value.failed) == [5]
    assert [r[0][0] for r in server.requests] == [0, 0, 4, 4, 4, 5, 6]


async def test_the_items_that_a_split_names_are_settled_and_the_others_sent_at_once() -> None:
    """Items that a split names fail with their own errors; the others are sent again at once."""
    named: list[Mapping[int, DeliveryError]] = [
        {0: Permanent("no"), 2: Retryable("later")},
        {0: Permanent("no"), 1: Permanent("no")},
    ]

    def judge(_: Sequence[Item]) -> Mapping[int, DeliveryError]:
        raise Split("some", named.pop(0))

    batch = make_batch(4)
    server = Server(judge)
    with pytest.raises(BatchError) as caught:
        await packer().deliver(batch, one_each(batch), server)
    kinds = {index: type(error) for index, error in caught.value.failed.items()}
    assert kinds == {0: Permanent, 1: Permanent, 2: Retryable, 3: Permanent}
    assert [[index for index, _ in request] for request in server.requests] == [
        [0, 1, 2, 3],
        [1, 3],
    ]


async def test_a_refusal_of_the_whole_request_is_traced_to_the_item_at_fault() -> None:
    """One bad item draws a 400 for all; the others are delivered by the same call."""

    def judge(items: Sequence[Item]) -> Mapping[int, DeliveryError]:
        if any(item.index == 2 for item in items):
            raise Permanent("no such field")
        return {}

    server = Server(judge)
    with pytest.raises(BatchError) as caught:
        await packer().deliver(make_batch(4), one_each(make_batch(4)), server)
    assert {i: str(error) for i, error in caught.value.failed.items()} == {2: "no such field"}
    assert [[index for index, _ in request] for request in server.requests] == [
        [0, 1, 2, 3],
        [0, 1],
        [2, 3],
        [2],
        [3],
    ]


@pytest.mark.parametrize("error", [Retryable("down"), Misconfigured("key")])
async def test_what_holds_for_the_whole_batch_is_raised_as_it_is(error: DeliveryError) -> None:
    """An error of the whole batch is raised unchanged, so that no single event is blamed."""

    def judge(_: Sequence[Item]) -> Mapping[int, DeliveryError]:
        raise error

    batch = make_batch(2)
    with pytest.raises(type(error)) as caught:
        await packer().deliver(batch, one_each(batch), Server(judge))
    assert caught.value is error


async def test_what_was_delivered_before_an_outage_stays_delivered() -> None:
    """Events delivered before an outage stay delivered, and nothing is sent after it."""
    answers = iter([None, Retryable("down")])

    def judge(_: Sequence[Item]) -> Mapping[int, DeliveryError]:
        error = next(answers)
        if error is not None:
            raise error
        return {}

    batch = make_batch(6)
    server = Server(judge)
    with pytest.raises(BatchError) as caught:
        await packer(RequestLimits(2, 1000)).deliver(batch, one_each(batch), server)
    assert list(caught.value.failed) == [2, 3, 4, 5]
    assert len(server.requests) == 2


async def test_a_part_that_was_delivered_is_not_sent_again() -> None:
    """When an event comes again, only its items that are not delivered yet are sent."""
    batch = make_batch(1)
    items = [Item(0, b"1", "a", "first"), Item(0, b"2", "b", "second")]
    down = True

    def judge(sent: Sequence[Item]) -> Mapping[int, DeliveryError]:
        if sent[0].part == "second" and down:
            raise Retryable("down")
        return {}

    server, pack = Server(judge), packer()
    with pytest.raises(BatchError):
        await pack.deliver(batch, items, server)
    down = False
    await pack.deliver(batch, items, server)
    assert server.requests == [[(0, "first")], [(0, "second")], [(0, "second")]]
    await pack.deliver(batch, items, server)  # delivered and forgotten: a replay sends all
    assert len(server.requests) == 5


async def test_a_part_that_is_refused_waits_for_the_others() -> None:
    """An event becomes a dead letter only once none of its items can still be delivered."""
    batch = make_batch(1)
    items = [Item(0, b"1", "a", "first"), Item(0, b"2", "b", "second")]
    down = True

    def judge(sent: Sequence[Item]) -> Mapping[int, DeliveryError]:
        if sent[0].part == "first":
            return {0: Permanent("never")}
        return {0: Retryable("later")} if down else {}

    server, pack = Server(judge), packer()
    with pytest.raises(BatchError) as caught:
        await pack.deliver(batch, items, server)
    assert isinstance(caught.value.failed[0], Retryable)
    down = False
    with pytest.raises(BatchError) as caught:
        await pack.deliver(batch, items, server)
    assert isinstance(caught.value.failed[0], Permanent)
    assert [request[0][1] for request in server.requests] == ["first", "second", "second"]


async def test_what_a_cancelled_send_delivered_is_remembered() -> None:
    """Items that were delivered before a time-out are not sent again."""
    batch = make_batch(2)
    items = [Item(0, b"1", "a"), Item(1, b"2", "b")]
    hang = asyncio.Event()
    sent: list[int] = []

    async def post(_: Hashable, part: Sequence[Item]) -> Mapping[int, DeliveryError]:
        if part[0].index == 1 and not hang.is_set():
            await hang.wait()
        sent.extend(item.index for item in part)
        return {}

    pack = packer()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pack.deliver(batch, items, post)
    hang.set()
    await pack.deliver(batch, items, post)
    assert sent == [0, 1]


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of partly delivered events is bounded; the oldest are forgotten first."""
    monkeypatch.setattr(packing_module, "MOST_REMEMBERED", 2)
    pack = packer()

    def judge(sent: Sequence[Item]) -> Mapping[int, DeliveryError]:
        return {i: Retryable("later") for i, item in enumerate(sent) if item.part == "b"}

    batch = make_batch(3)
    items = [Item(i, b"1", part, part) for i in range(3) for part in ("a", "b")]
    server = Server(judge)
    for _ in range(2):
        with pytest.raises(BatchError):
            await pack.deliver(batch, items, server)
    assert server.requests[2] == [(0, "a")]


@pytest.mark.parametrize(("parallel", "most"), [(1, 1), (4, 4)])
async def test_routes_go_side_by_side_up_to_a_bound(parallel: int, most: int) -> None:
    """Routes are sent at the same time up to a bound, and each keeps its order."""
    batch = make_batch(40)
    items = [Item(index, b"1", index % 8) for index in range(40)]
    server = Server()
    await packer(RequestLimits(1, 100), parallel=parallel).deliver(batch, items, server)
    assert server.most_under_way == most
    sent = [request[0][0] for request in server.requests]
    for route in range(8):
        assert [i for i in sent if i % 8 == route] == list(range(route, 40, 8))


@pytest.mark.parametrize("parallel", [1, 3])
async def test_a_defect_comes_out_as_it_is(parallel: int) -> None:
    """A defect is raised as it is, without a group around it."""

    def judge(_: Sequence[Item]) -> Mapping[int, DeliveryError]:
        raise ZeroDivisionError

    batch = make_batch(3)
    items = [Item(index, b"1", index) for index in range(3)]
    with pytest.raises(ZeroDivisionError):
        await packer(parallel=parallel).deliver(batch, items, Server(judge))


async def test_events_without_items_and_refused_ones() -> None:
    """Events without items count as delivered; refused ones fail without being sent."""
    batch = make_batch(3)
    server = Server()
    with pytest.raises(BatchError) as caught:
        await packer().deliver(batch, [Item(1, b"1")], server, {2: Permanent("cannot be mapped")})
    assert list(caught.value.failed) == [2]
    assert server.requests == [[(1, "")]]


@given(
    parts=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    fates=st.lists(
        st.sampled_from(["ok", "retry", "refuse", "halt", "split", "name"]), max_size=60
    ),
    size=st.integers(1, 5),
    parallel=st.integers(1, 3),
)
def test_whatever_happens_each_part_is_delivered_once_or_refused_once(
    parts: list[int], fates: list[str], size: int, parallel: int
) -> None:
    """Sent until all is settled, each item is delivered once or refused once, and none is lost."""
    batch = make_batch(len(parts))
    items = [
        Item(i, b"12", f"r{part % 2}", str(part)) for i, n in enumerate(parts) for part in range(n)
    ]
    remaining = iter(fates)
    taken: list[tuple[int, str]] = []
    refused: list[tuple[int, str]] = []

    async def post(_: Hashable, sent: Sequence[Item]) -> Mapping[int, DeliveryError]:
        await asyncio.sleep(0)
        fate = next(remaining, "ok")
        if fate == "halt":
            raise Retryable("down")
        if fate == "split" and len(sent) > 1:
            raise Split("large")
        if fate == "name":
            refused.append((sent[0].index, sent[0].part))
            raise Split("the first", {0: Permanent("no")})
        if fate == "retry":
            taken.extend((item.index, item.part) for item in sent[1:])
            return {0: Retryable("later")}
        if fate == "refuse":
            refused.append((sent[0].index, sent[0].part))
            taken.extend((item.index, item.part) for item in sent[1:])
            return {0: Permanent("no")}
        taken.extend((item.index, item.part) for item in sent)
        return {}

    async def main() -> set[int]:
        pack = packer(RequestLimits(size, 1000), parallel=parallel)
        left, dead = list(range(len(parts))), set()
        while left:
            again = Batch([batch.events[i] for i in left], [batch.offsets[i] for i in left])
            places = {index: place for place, index in enumerate(left)}
            now = [replace(x, index=places[x.index]) for x in items if x.index in places]

            async def with_own_index(
                route: Hashable, sent: Sequence[Item], left: list[int] = left
            ) -> Mapping[int, DeliveryError]:
                return await post(route, [replace(x, index=left[x.index]) for x in sent])

            try:
                await pack.deliver(again, now, with_own_index)
                left = []
            except BatchError as error:
                dead |= {left[i] for i, e in error.failed.items() if isinstance(e, Permanent)}
                left = [left[i] for i, e in error.failed.items() if not isinstance(e, Permanent)]
            except Retryable:
                pass
        return dead

    dead = asyncio.run(main())
    assert sorted(taken + refused) == sorted((item.index, item.part) for item in items)
    assert dead == {index for index, _ in refused}
