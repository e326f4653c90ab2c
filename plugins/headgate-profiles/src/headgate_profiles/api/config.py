"""`[profile-api]`: who may read what of profiles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from gateway import NamedToken

__all__ = ["ProfileApiConfig", "ProfileToken", "allows"]


class ProfileToken(NamedToken, frozen=True):
    """An entry of `[[profile-api.tokens]]`. It opens nothing else than the Profile API.

    Attributes:
        traits: names of the traits that it gets; ``*`` stands for any characters.
        identifiers: types of the identifiers that it gets, in the same way.
        events: names of the events that it gets.
        metadata: it gets times, counts, consent and arms.
        links: it gets the accounts of people and the members of accounts.
    """

    traits: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    metadata: bool = False
    links: bool = False


class ProfileApiConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of `[profile-api]`. Without a token there is no Profile API.

    Attributes:
        tokens: of the servers that may ask.
        max_requests_per_second: of one token, evenly divided over the workers; 0 is no bound.
        burst: requests that may come at once after a pause.
        events_days: how far back `events` looks.
        max_items: of one answer.
    """

    tokens: tuple[ProfileToken, ...] = ()
    max_requests_per_second: Annotated[float, Meta(ge=0)] = 100.0
    burst: Annotated[float, Meta(ge=1)] = 200.0
    events_days: Annotated[int, Meta(ge=1, le=4_000)] = 14
    max_items: Annotated[int, Meta(ge=1, le=1_000)] = 200

    def __post_init__(self) -> None:
        """Refuses equal names or tokens."""
        for what, values in (
            ("name", [token.name for token in self.tokens]),
            ("token", [token.digest for token in self.tokens]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"tokens: two have the same {what}")


def allows(patterns: Sequence[str], name: str) -> bool:
    """Tells whether an allow list has a name."""
    return any(_compiled(pattern).fullmatch(name) for pattern in patterns)


@lru_cache(maxsize=10_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
