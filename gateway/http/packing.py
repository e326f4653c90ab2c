"""Fits the items of a batch into requests, and turns their outcomes into those of events.

A `Packer` fills requests up to the limits. It halves a request that is refused as a whole, down to
the items at fault, since one of them may have drawn the refusal of all. An event is delivered when
all of its items are.

An event of which some items were delivered comes again as a whole. The packer remembers the items
that are settled, and does not send them twice; only a restart of the gateway makes it forget.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from gateway.components.destination import Batch
from gateway.components.dry_run import Rehearsal
from gateway.errors import BatchError, DeliveryError, Permanent
from gateway.http.items import Item, RequestLimits, Split

__all__ = ["Packer", "Post"]

MOST_REMEMBERED = 20_000
"""Partly delivered events that are remembered at once; the oldest are forgotten first."""

Post: TypeAlias = Callable[[Hashable, Sequence[Item]], Awaitable[Mapping[int, DeliveryError]]]
"""Sends items of one route in one request. Returns the errors of failed items by their place in the
sequence; raises another `DeliveryError` where the request failed as a whole. After a `Permanent`
halves of the request are sent, as it does not tell which item is at fault."""

_Key: TypeAlias = tuple[str, int]


@dataclass(slots=True)
class _Progress:
    """The state of a batch while it is being sent.

    Attributes:
        settled: maps an event's index to its settled items: part to its error, None if delivered.
        waiting: maps an event's index to the error of an item that is to be sent again.
        halt: the error that ended the sending.
        mixed: a request was accepted, or its items had different outcomes.
    """

    batch: Batch
    settled: dict[int, dict[str, Permanent | None]] = field(default_factory=dict)
    waiting: dict[int, DeliveryError] = field(default_factory=dict)
    halt: DeliveryError | None = None
    mixed: bool = False

    def settle(self, item: Item, error: Permanent | None) -> None:
        self.settled.setdefault(item.index, {})[item.part] = error

    def record(self, item: Item, error: DeliveryError | None) -> None:
        if error is None or isinstance(error, Permanent):
            self.settle(item, error)
        else:
            self.waiting[item.index] = error


class Packer:
    """Sends items in requests; one packer serves a destination as long as that lives.

    Args:
        limits: returns the limits of a route's requests.
        parallel: number of routes of a batch that are sent at the same time.
        rehearsal: from the destination's context; records which events have no items.
    """

    def __init__(
        self,
        limits: Callable[[Hashable], RequestLimits],
        *,
        parallel: int = 1,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._limits = limits
        self._parallel = parallel
        self._note_silent = _ignore if rehearsal is None else partial(_note_silent, rehearsal)
        self._remembered: OrderedDict[_Key, dict[str, Permanent | None]] = OrderedDict()

    async def deliver(
        self,
        batch: Batch,
        items: Sequence[Item],
        post: Post,
        refused: Mapping[int, DeliveryError] | None = None,
    ) -> None:
        """Sends the items; an event without items counts as delivered.

        Args:
            refused: maps the index of each event that cannot be sent to the reason.

        Raises:
            DeliveryError: holds for all of the batch.
            BatchError: names the events that were not delivered.
        """
        refused = refused or {}
        self._note_silent(batch, items)
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
        _raise_failures(progress, refused)

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
            except BatchError as error:
                raise TypeError("post() returns the errors of single items") from error
            except Permanent as error:
                parts.extendleft(reversed(_divided(part, error, progress)))
            except DeliveryError as error:
                # Requests after this one would fail in the same way.
                progress.halt = error
                for item in part:
                    progress.waiting[item.index] = error
            else:
                progress.mixed = True
                for place, item in enumerate(part):
                    progress.record(item, failed.get(place))

    def _remember(self, progress: _Progress, *, whole: bool) -> None:
        """Keeps the settled items of events that come again.

        Args:
            whole: events all of whose items are settled come again too.
        """
        for index, parts in progress.settled.items():
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


def _ignore(batch: Batch, items: Sequence[Item]) -> None:
    """Records nothing."""


def _note_silent(rehearsal: Rehearsal, batch: Batch, items: Sequence[Item]) -> None:
    """Records the places of events without items."""
    rehearsal.silent |= set(range(len(batch))) - {item.index for item in items}


def _raise_failures(progress: _Progress, refused: Mapping[int, DeliveryError]) -> None:
    """Raises the outcome of a batch; returns if all of it was delivered."""
    failed = dict(refused)
    for index, parts in progress.settled.items():
        error = next((error for error in parts.values() if error is not None), None)
        if error is not None:
            failed.setdefault(index, error)
    # An event comes again while one of its items may still be delivered, even if another failed.
    failed |= {i: error for i, error in progress.waiting.items() if i not in refused}
    if not failed:
        return
    first = next(iter(failed.values()))
    if progress.halt is not None and not progress.settled and not progress.mixed:
        raise progress.halt
    # An answer that names the only event of a batch is about the event, not about the destination.
    same = not progress.mixed and len(failed) == len(progress.batch)
    if same and all(error is first for error in failed.values()):
        raise first
    raise BatchError(dict(sorted(failed.items())))


def _divided(part: Sequence[Item], error: Permanent, progress: _Progress) -> list[Sequence[Item]]:
    """Returns the parts to send next of a request that was refused as a whole."""
    if isinstance(error, Split) and error.failed:
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
    """Returns the items as requests within the limits; settles items that fit into none."""
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
