"""Config of a destination with ``type = "profiles"``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from headgate_profiles.graph.rules import Rules
from headgate_profiles.identifiers.kinds import IdentifierConfig, Kinds
from headgate_profiles.traits.config import TraitSettings

__all__ = ["ProfilesConfig", "graph_path", "rules_of"]


class ProfilesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of profiles.

    Attributes:
        identifiers: rules of single types; see
            `headgate_profiles.identifiers.kinds.IdentifierConfig`.
        max_event_identifiers: identifiers that are read from one event.
        max_identifier_chars: a longer value identifies nobody.
        max_identifiers: identifiers of one profile.
        max_merges: how often two profiles may become one in the past of a profile.
        max_companions: an identifier that was seen with more user ids, or e-mail addresses, or
            phone numbers than this is shared by many people, and identifies nobody.
        max_cached: combinations of identifiers that are remembered, so that an event that brings
            nothing new reads nothing; about 700 bytes each.
        traits: rules and bounds of traits.
    """

    identifiers: dict[str, IdentifierConfig] = {}
    max_event_identifiers: Annotated[int, Meta(ge=2, le=30)] = 20
    max_identifier_chars: Annotated[int, Meta(ge=36, le=1_000)] = 256
    max_identifiers: Annotated[int, Meta(ge=2, le=10_000)] = 1_000
    max_merges: Annotated[int, Meta(ge=0, le=10_000)] = 100
    max_companions: Annotated[int, Meta(ge=1, le=1_000)] = 10
    max_cached: Annotated[int, Meta(ge=2)] = 100_000
    traits: TraitSettings = TraitSettings()

    def __post_init__(self) -> None:
        _ = rules_of(self)


def rules_of(config: ProfilesConfig) -> Rules:
    """Returns the rules that a config sets.

    Raises:
        ValueError: a type has neither a path nor is it a known one.
    """
    return Rules(
        Kinds(config.identifiers), config.max_identifiers, config.max_merges, config.max_companions
    )


def graph_path(data_dir: Path, id_: str) -> Path:
    """Returns the file of a destination's graph."""
    return data_dir / "profiles" / f"{id_}.sqlite"
