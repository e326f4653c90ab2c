"""Facts: identifiers that were seen together, or were joined or parted by a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeAlias

from headgate_profiles.identifiers import Identifier

__all__ = ["Component", "Decision", "Fact", "Order", "Reason", "Refusal", "number_of"]

Order: TypeAlias = tuple[int, str, tuple[Identifier, ...], bool]
"""The place of a fact among all: time of receipt and message id, then what else tells two apart."""

Reason: TypeAlias = Literal[
    "other_user", "limit", "parted", "too_many_merges", "too_many_identifiers"
]


class Fact(NamedTuple):
    """Identifiers that one event, or one person at a console, said to be the same person's.

    Attributes:
        at_ms: when the gateway received the first event with these identifiers.
        message_id: of that event; the second part of the order.
        ids: the identifiers, the one that says most first.
        forced: a person joined them, so that only the bounds on size hold.
    """

    at_ms: int
    message_id: str
    ids: tuple[Identifier, ...]
    forced: bool = False

    @property
    def order(self) -> Order:
        """The place among all facts."""
        return self.at_ms, self.message_id, self.ids, self.forced


class Refusal(NamedTuple):
    """An identifier of a fact that was not joined with the others.

    Attributes:
        reason: of the rule that did not allow it.
        type: of the identifiers that there would have been too many of, or empty.
    """

    identifier: Identifier
    reason: Reason
    type: str = ""


class Decision(NamedTuple):
    """What became of a fact.

    Attributes:
        kept: its identifiers that are one person's.
        refused: those that were left out by a rule. Those that many people share are in neither.
        joined: number of profiles that it made one, less one.
    """

    kept: tuple[Identifier, ...]
    refused: tuple[Refusal, ...] = ()
    joined: int = 0


@dataclass(slots=True, eq=False)
class Component:
    """A profile as the graph sees it.

    Attributes:
        seen: its identifiers, each with the time of the first fact that has it.
        merges: how often two profiles became one in its past.
    """

    seen: dict[Identifier, int] = field(default_factory=dict)
    merges: int = 0


def number_of(founder: Identifier) -> int:
    """Returns the number of the profile that an identifier founded: 63 bits, never negative."""
    text = f"{founder.type}\n{founder.value}".encode(errors="replace")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1
