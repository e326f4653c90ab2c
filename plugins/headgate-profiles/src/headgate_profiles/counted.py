"""What is counted while events pass: computed traits, and the behaviour that audiences ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate_profiles.audiences.audience import behaviours_of
from headgate_profiles.computed.definition import Definition, definitions_of

__all__ = ["counted"]


def counted(tables: Mapping[str, Any]) -> tuple[Definition, ...]:
    """Returns all definitions; those for audiences have no name."""
    return (*definitions_of(tables), *behaviours_of(tables))
