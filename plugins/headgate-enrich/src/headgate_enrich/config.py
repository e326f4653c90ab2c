"""Settings of the transform ``enrich``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["EnrichConfig"]


class EnrichConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of ``enrich``.

    Attributes:
        geo_file: a database of countries by address in MaxMind's format; without it there is no
            country.
        geo_check_seconds: interval at which a changed `geo_file` is noticed.
        max_user_agent_chars: only so much of a user agent is read.
        max_cached_agents: user agents whose facts are remembered, about 1 KB each.
        max_cached_addresses: addresses whose country is remembered, about 200 bytes each.
    """

    geo_file: str = ""
    geo_check_seconds: Annotated[float, Meta(gt=0)] = 60.0
    max_user_agent_chars: Annotated[int, Meta(ge=32, le=4096)] = 512
    max_cached_agents: Annotated[int, Meta(ge=1)] = 10_000
    max_cached_addresses: Annotated[int, Meta(ge=1)] = 10_000
