"""Sends what a batch of events becomes, in requests of a size that the other side takes.

A vendor's request is not a batch: an event may become several items (an order, and one for each of
its products), items go to several endpoints, and each endpoint has limits of its own. A `Packer`
makes requests of items, halves those that are refused for their size, and folds what became of the
items into what became of the events: an event is delivered when all of its items are.

An event of which some items were delivered comes again as a whole. The packer remembers which
those were, so that they are not sent twice; only a restart of the gateway makes it forget.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import msgspec

from gateway.components.destination import Batch
from gateway.components.dry_run import Rehearsal
from gateway.errors import BatchError, DeliveryError, Permanent
from gateway.events.event import Event

__all__ = ["Entry", "Item", "Packer", "Post", "RequestLimits", "Split", "items_of"]

MOST_REMEMBERED = 20_000
"""Events of which a part was delivered that are remembered at once; the oldest go first."""


class Split(Permanent):
    """A request was refused as a whole, and parts of it may fare better.

    Args:
        reason: as for every `DeliveryError`.
        failed: the items that are to blame, by their place, where that is known. The others are
            sent again at once; if nobody is named, halves are sent.
    """

    def __init__(self, reason: str, failed: Mapping[int, DeliveryError] | None = None) -> None:
        super().__init__(reason)
        self.failed: Mapping[int, DeliveryError] = failed or {}


class Entry(NamedTuple):
    """What a mapping makes of an event, or of a part of it; see `Item`."""

    route: Hashable
    part: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """What one event, or a part of it, is in a request.

    Attributes:
        index: of the event in its batch.
        body: as sent, without what separates it from the next.
        route: items of one route share requests and keep their order.
        part: tells the items of an event apart; the same on every attempt.
    """

    index: int
    body: bytes
    route: Hashable = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds of a request.

    Attributes:
        max_items: items in it.
        max_bytes: of all items together, with one more byte for each.
        max_item_bytes: of a single one; `max_bytes`, if that is less.
    """

    max_items: int
    max_bytes: int
    max_item_bytes: int = 2**63


Post: TypeAlias = Callable[[Hashable, Sequence[Item]], Awaitable[Mapping[int, DeliveryError]]]
"""Sends items of one route in one request. Returns the errors of those that failed, by their place
in the sequence; raises `Split`, or another `DeliveryError` that holds for all of them."""

_Key: TypeAlias = tuple[str, int]


@dataclass(slots=True)
class _Progress:
    """What is known of a batch while it is being sent."""

    batch: Batch
    sent: dict[int, dict[str, Permanent | None]] = field(default_factory=dict)
    waiting: dict[int, DeliveryError] = field(default_factory=dict)
    halt: DeliveryError | None = None
    mixed: bool = False
    """Whether items of one request fared differently, or it was delivered."""

    def settle(self, item: Item, error: Permanent | None) -> None:
        self.sent.setdefault(item.index, {})[item.part] = error

    def record(self, item: Item, error: DeliveryError | None) -> None:
        if error is None or isinstance(error, Permanent):
            self.settle(item, error)
        else:
            self.waiting[item.index] = error


class Packer:
    """Sends items; one for the life of a destination.

    Args:
        limits: bounds of the requests of a route.
        parallel: routes whose requests may be under way at once, for each batch.
        rehearsal: of the destination's context; is told which events have no items.
    """

    def __init__(
        self,
        limits: Callable[[Hashable], RequestLimits],
        *,
        parallel: int = 1,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._limits = limits
        self._rehearsal = rehearsal
        self._parallel = parallel
        self._remembered: OrderedDict[_Key, dict[str, Permanent | None]] = OrderedDict()

    async def deliver(
        self,
        batch: Batch,
        items: Sequence[Item],
        post: Post,
        refused: Mapping[int, DeliveryError] | None = None,
    ) -> None:
        """Send the items; events without any count as delivered.

        Args:
            refused: events that nothing can be sent for, and why.

        Raises:
            DeliveryError: what holds for all of the batch.
            BatchError: what became of the events that were not delivered.
        """
        refused = refused or {}
        if self._rehearsal is not None:
            self._rehearsal.silent |= set(range(len(batch))) - {item.index for item in items}
        progress = _Progress(batch)
        routes: dict[Hashable, deque[Item]] = {}
        for item in items:
            known = self._remembered.get(self._key(batch, item.index)) if self._remembered else None
            if known is not None and item.part in known:
                progress.settle(item, known[item.part])
            else:
                routes.setdefault(item.route, deque()).append(item)
        try:
            await self._send_routes(routes, post, progress)
        except BaseException:
            self._remember(progress, whole=True)
            raise
        self._remember(progress, whole=False)
        self._conclude(progress, refused)

    async def _send_routes(
        self, routes: dict[Hashable, deque[Item]], post: Post, progress: _Progress
    ) -> None:
        pending = deque(routes.items())

        async def work() -> None:
            while pending:
                route, items = pending.popleft()
                await self._send_route(route, items, post, progress)

        workers = min(self._parallel, len(pending))
        if workers <= 1:
            await work()
            return
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _send_route(
        self, route: Hashable, items: deque[Item], post: Post, progress: _Progress
    ) -> None:
        limits = self._limits(route)
        parts: deque[Sequence[Item]] = deque(_packed(items, limits, progress))
        while parts:
            part = parts.popleft()
            if progress.halt is not None:
                for item in part:
                    progress.waiting[item.index] = progress.halt
                continue
            try:
                failed = await post(route, part)
            except Split as error:
                parts.extendleft(reversed(_divided(part, error, progress)))
            except BatchError as error:
                raise TypeError("post() returns the errors of single items") from error
            except Permanent as error:
                _refuse(progress, part, error)
            except DeliveryError as error:
                # What comes after this request would fare no better now.
                progress.halt = error
                for item in part:
                    progress.waiting[item.index] = error
            else:
                progress.mixed = True
                for place, item in enumerate(part):
                    progress.record(item, failed.get(place))

    def _conclude(self, progress: _Progress, refused: Mapping[int, DeliveryError]) -> None:
        failed = dict(refused)
        for index, parts in progress.sent.items():
            error = next((error for error in parts.values() if error is not None), None)
            if error is not None:
                failed.setdefault(index, error)
        # While a part may still be delivered, the event is not given up for another part's sake.
        failed |= {i: error for i, error in progress.waiting.items() if i not in refused}
        if not failed:
            return
        first = next(iter(failed.values()))
        if progress.halt is not None and not progress.sent and not progress.mixed:
            raise progress.halt
        # A receiver that names the only event of a batch has said so of the event, not of itself.
        same = not progress.mixed and len(failed) == len(progress.batch)
        if same and all(error is first for error in failed.values()):
            raise first
        raise BatchError(dict(sorted(failed.items())))

    def _remember(self, progress: _Progress, *, whole: bool) -> None:
        """Keep what was settled of the events that come again.

        Args:
            whole: whether even those come again that were settled in all their parts.
        """
        for index, parts in progress.sent.items():
            key = self._key(progress.batch, index)
            if whole or index in progress.waiting:
                self._remembered[key] = {**self._remembered.pop(key, {}), **parts}
            else:
                self._remembered.pop(key, None)
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    @staticmethod
    def _key(batch: Batch, index: int) -> _Key:
        return batch.queue_id, batch.offsets[index]


def items_of(
    batch: Batch, entries_of: Callable[[Event], Iterable[Entry]]
) -> tuple[list[Item], dict[int, DeliveryError]]:
    """The events as items to send; and those that cannot be mapped, with the reason."""
    items: list[Item] = []
    refused: dict[int, DeliveryError] = {}
    encode = msgspec.json.encode
    for index, event in enumerate(batch):
        try:
            entries = entries_of(event)
        except Permanent as error:
            refused[index] = error
        else:
            items += [Item(index, encode(e.payload), e.route, e.part) for e in entries]
    return items, refused


def _divided(part: Sequence[Item], error: Split, progress: _Progress) -> list[Sequence[Item]]:
    """What to send next of a request that was refused as a whole."""
    if error.failed:
        progress.mixed = True
        for place, refusal in error.failed.items():
            progress.record(part[place], refusal)
        rest = [item for place, item in enumerate(part) if place not in error.failed]
        return [rest] if rest else []
    if len(part) == 1:
        _refuse(progress, part, error)
        return []
    middle = len(part) // 2
    return [part[:middle], part[middle:]]


def _refuse(progress: _Progress, part: Sequence[Item], error: Permanent) -> None:
    for item in part:
        progress.settle(item, error)


def _packed(items: deque[Item], limits: RequestLimits, progress: _Progress) -> list[list[Item]]:
    """The items as requests within the limits."""
    parts: list[list[Item]] = []
    part: list[Item] = []
    size = 0
    most = min(limits.max_item_bytes, limits.max_bytes)
    for item in items:
        needed = len(item.body) + 1
        if needed - 1 > most:
            reason = f"makes {len(item.body)} bytes, and the destination takes {most}"
            progress.settle(item, Permanent(reason))
            progress.mixed = True
            continue
        if part and (len(part) >= limits.max_items or size + needed > limits.max_bytes):
            parts.append(part)
            part, size = [], 0
        part.append(item)
        size += needed
    if part:
        parts.append(part)
    return parts
