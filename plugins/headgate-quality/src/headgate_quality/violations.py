"""Violations of a tracking plan, described without any value of the event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway import format_path

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

__all__ = [
    "MAX_ERRORS",
    "MAX_TEXT",
    "TOO_MANY",
    "UNPLANNED_EVENT",
    "Steps",
    "Violation",
    "field_of",
    "unplanned_property",
    "violations_of",
]

MAX_TEXT = 200
"""Most characters of a name from an event that a message repeats."""

MAX_ERRORS = 1000
"""Most errors of one event that are reported one by one; more are one violation as a whole."""

Steps: TypeAlias = tuple[str | int, ...]
"""Path of a value: keys of objects and indexes of lists, from the top of the event."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation of the plan.

    Attributes:
        kind: ``Unplanned Event``, ``Unplanned Property``, ``Required``, ``Invalid Type``,
            ``Invalid Value`` (enum, const, pattern, format) or ``Schema`` (any other keyword).
        path: of the wrong or missing value; empty for the event as a whole.
        complaint: what is wrong with it, as the end of a sentence.
        present: whether there is a value at `path` that can be omitted.
    """

    kind: str
    path: Steps
    complaint: str
    present: bool = True

    @property
    def field(self) -> str:
        """The path as text, such as ``properties.products[0].sku``."""
        return field_of(self.path)

    @property
    def description(self) -> str:
        """A sentence that names the field and what is wrong with it."""
        # Built on demand: an event can have thousands of violations, of which few are reported.
        return f"{self.field or 'the event'} {self.complaint}"


UNPLANNED_EVENT = Violation("Unplanned Event", (), "is not in the plan", present=False)
TOO_MANY = Violation("Schema", (), f"has more than {MAX_ERRORS} violations", present=False)


def field_of(path: Steps) -> str:
    """Returns a path as text of at most `MAX_TEXT` characters."""
    return format_path(str(path[0]), path[1:])[:MAX_TEXT] if path else ""


def unplanned_property(path: Steps) -> Violation:
    """Returns the violation of a property or trait that the plan does not name."""
    return Violation("Unplanned Property", path, "is not in the plan")


_INVALID_VALUE = {
    "enum": "is none of the permitted values",
    "const": "is not the permitted value",
    "pattern": "does not have the permitted form",
}


def violations_of(error: ValidationError, instance: Any) -> Iterator[Violation]:
    """Yields the violations in an error. The error's own text quotes the event and is not used."""
    keyword, details = error.kind.name, error.kind.as_dict()
    path: Steps = tuple(error.instance_path)
    if error.schema_path[-1] == "additionalProperties":
        if keyword != "additionalProperties":  # all are forbidden, and the error does not list them
            for step in path:
                instance = instance[step]
            details["unexpected"] = list(instance)
        for key in details["unexpected"]:
            yield unplanned_property((*path, key))
    elif keyword == "required":
        missing = (*path, details["property"])
        yield Violation("Required", missing, "is required", present=False)
    elif keyword == "type":
        types = " or ".join(details["types"])
        yield Violation("Invalid Type", path, f"is not of type {types}")
    elif keyword == "format":
        yield Violation("Invalid Value", path, f"is not a valid {details['format']}")
    elif keyword in _INVALID_VALUE:
        yield Violation("Invalid Value", path, _INVALID_VALUE[keyword])
    elif keyword == "falseSchema":
        yield Violation("Schema", path, "is not permitted")
    else:
        yield Violation("Schema", path, f"does not meet the plan's {keyword}")
