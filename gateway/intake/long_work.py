"""Runs the transforms of a request in a thread if they would hold up the event loop.

A few kilobytes that a client compressed may hold tens of thousands of findings. Their request waits
for its turn; all others go on. Nothing of it is stored meanwhile, so a duplicate that arrives in
the meantime has to wait for the result: its answer promises that the first copy is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio

from gateway.components.chain import Chain, Outcome
from gateway.errors import QueueClosed, QueueError, QueueFull

__all__ = ["LongWork"]

_RETRY_SECONDS = 5


class LongWork:
    """The requests whose transforms take long; one of them at a time is worked on.

    Args:
        most_bytes: limit for the size of the events that wait; over it requests are refused.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._turn = anyio.CapacityLimiter(1)
        self._under_way: set[asyncio.Future[None]] = set()

    async def finish(self, transforms: Chain, outcome: Outcome) -> None:
        """Runs the transforms that `Chain.begin` has left.

        Raises:
            QueueFull: too much waits already.
        """
        size = sum(event.size for event in outcome.kept)
        if self._bytes and self._bytes + size > self._most_bytes:
            raise QueueFull(
                f"{self._bytes} bytes of events wait for transforms that take long "
                f"(queue.max_pending_bytes = {self._most_bytes})",
                _RETRY_SECONDS,
            )
        self._bytes += size
        try:
            await transforms.finish(outcome, self._turn)
        finally:
            self._bytes -= size

    def announce(self) -> asyncio.Future[None]:
        """Announces a request whose ids are remembered, but which is not stored yet."""
        request = asyncio.get_running_loop().create_future()
        self._under_way.add(request)
        return request

    def settle(
        self, request: asyncio.Future[None] | None, error: BaseException | None = None
    ) -> None:
        """Ends an announced request: it is stored, or has failed. None was not announced."""
        if request is None:
            return
        self._under_way.discard(request)
        if error is None:
            request.set_result(None)
            return
        failed = error if isinstance(error, QueueError) else QueueClosed("the request failed")
        request.set_exception(failed)
        request.exception()  # it is no fault if nobody waits

    @property
    def under_way(self) -> Sequence[asyncio.Future[None]]:
        """The requests that are announced and have not ended."""
        return tuple(self._under_way)
