"""The time up to which the lake is complete.

Each shard (a worker process with its queue) says up to which time all events that it accepted are
in the lake. While it delivers, that is the time of receipt of its newest event in the lake, less an
allowance for events that overtook others on the way into the queue. While it has nothing to
deliver, it is the present. The watermark is the earliest of these times.

A shard that has been silent for long while another one was not no longer counts: the number of
workers was lowered, and what its queue held is delivered.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate_lake.manifest import Shard

__all__ = ["SILENT_MS", "watermark_ms"]

SILENT_MS = 86_400_000
"""A shard that was silent for so long, while another was not, no longer counts."""


def watermark_ms(shards: Sequence[Shard]) -> int | None:
    """Returns the time before which all accepted events are in the lake; None before any."""
    newest = max((shard.seen_ms for shard in shards), default=0)
    counting = [shard.until_ms for shard in shards if newest - shard.seen_ms < SILENT_MS]
    return min(counting, default=0) or None
