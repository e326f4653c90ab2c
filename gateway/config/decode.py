"""Decodes one table of config.toml into its structure, and explains its errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from gateway.components.settings import Secret
from gateway.config.mistakes import joined

__all__ = ["StructT", "Table", "decode_table"]

StructT = TypeVar("StructT", bound=Struct)


@dataclass(frozen=True, slots=True)
class Table:
    """The part of a component's table that belongs to its plugin.

    Attributes:
        path: such as ``destinations.crm``, for error messages.
    """

    path: str
    options: Mapping[str, Any]

    def decode(self, struct: type[StructT]) -> StructT:
        """Decodes the options into the plugin's own Struct."""
        return decode_table(self.options, struct, self.path)


_AT = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>key in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)


_MISSING = re.compile(r"(.*: )?Object missing required field")
_MOST_MISTAKES = 20


def decode_table(table: Mapping[str, Any], struct: type[StructT], path: str) -> StructT:
    """Decodes a table into a Struct.

    Raises:
        ConfigError: keys are wrong; the message of each starts with its path.
    """
    mistakes: list[str] = []
    rest: Mapping[str, Any] | None = table
    while rest is not None and len(mistakes) < _MOST_MISTAKES:
        try:
            result = msgspec.convert(rest, struct, strict=True, dec_hook=_decode_secret)
        except msgspec.ValidationError as error:
            what, place = _explained(error, struct, path)
            if mistakes and _MISSING.match(what):
                break  # what is missing may be what was left out here
            mistakes.append(what)
            rest = _without(rest, place)
        else:
            if not mistakes:
                return result
            break
    raise joined(mistakes) from None


def _explained(error: msgspec.ValidationError, struct: Any, path: str) -> tuple[str, str]:
    """Returns a mistake in words, and the place of the wrong key in the table."""
    match = _AT.match(str(error))
    what, inner = (match["what"], match["path"] or "") if match else (str(error), "")
    where = (path + inner).lstrip(".")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown:
        key = unknown["key"]
        known = _fields_at(struct, inner)
        near = get_close_matches(key, known, n=1)
        what = f"there is no key {key!r} here"
        if near:
            what += f"; did you mean {near[0]!r}?"
        elif known:
            what += f"; there are: {', '.join(known)}"
        inner += f".{key}"
    return f"{where}: {what}" if where else what, inner


def _without(table: object, place: str) -> Mapping[str, Any] | None:
    """Returns a table without the key at a place, to look for more mistakes; None if it is none."""
    name, _, inner = place.removeprefix(".").partition(".")
    if not isinstance(table, Mapping) or name not in table:
        return None
    if not inner:
        return {key: value for key, value in table.items() if key != name}
    changed = _without(table[name], inner)
    return None if changed is None else {**table, name: changed}


def _fields_at(struct: Any, inner: str) -> list[str]:
    for name in filter(None, inner.split(".")):
        hints = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
        struct = hints.get(name.partition("[")[0])
        # A setting with a short form, such as true, has the keys of its long form.
        parts = [struct, *get_args(struct)]
        struct = next((p for p in parts if isinstance(p, type) and issubclass(p, Struct)), None)
        if struct is None:
            return []
    return [f.encode_name for f in msgspec.structs.fields(struct)]


def _decode_secret(expected: type, value: Any) -> Any:
    if expected is Secret and isinstance(value, str):
        if value.endswith(("\n", "\r")):
            raise ValueError("ends in a line feed, which would be part of the secret")
        return Secret(value)
    raise ValueError(f"expected a string, got {type(value).__name__}")
