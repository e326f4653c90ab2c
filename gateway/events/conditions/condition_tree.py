"""The syntax tree of a condition.

`gateway.events.conditions.condition.parse_condition` makes one of a text. A tree holds no function,
so that other programs than the pipeline can evaluate a condition too: a package translates it to
SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.events.conditions.path import Path

__all__ = [
    "AllOf",
    "Among",
    "AnyOf",
    "Comparison",
    "Exists",
    "Field",
    "Function",
    "Literal",
    "Not",
    "Scalar",
    "TextTest",
    "Tree",
    "Value",
]

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number, boolean or null."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Field:
    """The value at a path of the event; null if there is none."""

    path: Path


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a value: ``lowercase`` or ``length``."""

    name: str
    argument: Value


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values with one of ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` between them."""

    sign: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Among:
    """A value is one of these literals."""

    value: Value
    literals: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class TextTest:
    """A test of a text: ``contains``, ``starts_with``, ``ends_with`` or ``match``."""

    name: str
    value: Value
    argument: Scalar


@dataclass(frozen=True, slots=True)
class Exists:
    """A field is there and not null."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """A condition is false."""

    term: Tree


@dataclass(frozen=True, slots=True)
class AllOf:
    """All conditions are true."""

    terms: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the conditions is true."""

    terms: tuple[Tree, ...]


Value: TypeAlias = Literal | Field | Function
Tree: TypeAlias = Comparison | Among | TextTest | Exists | Not | AllOf | AnyOf
