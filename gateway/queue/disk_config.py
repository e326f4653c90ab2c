"""Keys of the queue on disk."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["DiskConfig"]


class DiskConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of `[queue]` with ``type = "disk"``.

    Attributes:
        retention_hours: time for which events are kept after they were written, for replay.
        max_bytes: bound on the size of all segments. At the bound, events that every destination
            has finished with are removed early. If that is not enough, the gateway sheds.
        reserve_bytes: room on disk that is kept for the state store, so that deliveries can be
            recorded on a full disk; a sixteenth of a small disk at most, and 0 keeps none.
        segment_bytes: size at which a new segment begins.
        compression_level: level of zstd, 1 to 19.
    """

    retention_hours: Annotated[float, Meta(ge=0)] = 168.0
    max_bytes: Annotated[int, Meta(ge=1_000_000)] = 10_000_000_000
    reserve_bytes: Annotated[int, Meta(ge=0)] = 16_000_000
    segment_bytes: Annotated[int, Meta(ge=4096)] = 64_000_000
    compression_level: Annotated[int, Meta(ge=1, le=19)] = 1
