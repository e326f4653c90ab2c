"""Settings of what belongs to trials: who is who, and destinations that only watch."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["IdentityConfig", "ShadowSettings"]

Positive = Annotated[int, Meta(ge=1)]


class IdentityConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[identity]`: which visitor a userId belongs to, for groups by user; see `gateway.identity`.

    Attributes:
        max_links: users who are linked, about 250 bytes each in each worker; beyond it nobody new.
        max_id_chars: an id that is longer is not linked.
    """

    max_links: Positive = 1_000_000
    max_id_chars: Positive = 256


class ShadowSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`shadow` of a destination, to which nothing is sent; see `gateway.shadow`.

    Attributes:
        of: the destination that it is compared with.
        ignore: where differences do not count: paths into what `gateway shadow` shows of a request,
            without places in lists, and all below them.
        max_events_per_second: that are looked at, over all workers; the others are let go by.
        max_examples: events that are kept, of each kind.
    """

    of: str | None = None
    ignore: tuple[str, ...] = ("url", "headers", "to")
    max_events_per_second: Positive = 200
    max_examples: Annotated[int, Meta(ge=1, le=1000)] = 20
