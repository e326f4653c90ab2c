"""The stand-in for a destination in a dry run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.components.destination import Batch, Destination
from gateway.components.dry_run import Rehearsal

__all__ = ["DryRunDestination"]


class DryRunDestination(Destination):
    """Records what another destination would write.

    It is for destinations that write to files or tables: build it in place of the other one where
    the context has a `rehearsal`. One that sends by `gateway.HttpClient` needs no stand-in.

    Args:
        writes: yields the writes for a batch, each as a place and a content; see
            `gateway.components.dry_run.Write`. It raises what `send` would raise.
    """

    def __init__(
        self, rehearsal: Rehearsal, writes: Callable[[Batch], Iterable[tuple[str, Any]]]
    ) -> None:
        self._rehearsal = rehearsal
        self._writes = writes

    async def send(self, batch: Batch) -> None:
        """Records the writes for a batch."""
        for to, content in self._writes(batch):
            self._rehearsal.write(to, content)
