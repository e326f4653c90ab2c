"""`[destinations.ID.traits]`: rules and bounds of traits."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headgate_profiles.traits.rules import Rule

__all__ = ["TraitSettings"]


class TraitSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of traits. What exceeds a bound is left out and counted.

    Attributes:
        rules: which value of a trait counts; ``newest`` for those that are not named.
        max_per_event: traits of one identify or group.
        max_per_person: traits that one identifier brings.
        max_name_characters: of a trait's name, and of an event's.
        max_value_bytes: of a value, as JSON.
        max_items: of a union.
        max_event_names: names of events that are counted apart; others are counted together.
        max_accounts: accounts of one identifier; the newest stay.
    """

    rules: dict[str, Rule] = {}
    max_per_event: Annotated[int, Meta(ge=1, le=10_000)] = 300
    max_per_person: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    max_name_characters: Annotated[int, Meta(ge=1, le=1_000)] = 200
    max_value_bytes: Annotated[int, Meta(ge=16, le=100_000)] = 4_096
    max_items: Annotated[int, Meta(ge=1, le=10_000)] = 100
    max_event_names: Annotated[int, Meta(ge=1, le=10_000)] = 200
    max_accounts: Annotated[int, Meta(ge=1, le=10_000)] = 100

    def rule_of(self, name: str) -> Rule:
        """Returns the rule of a trait."""
        return self.rules.get(name, "newest")
