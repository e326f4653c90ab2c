"""Options of a command, made from the fields of a Struct.

The description of a field is the help of its option, so a figure states both once.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
import msgspec
from msgspec import Meta, Struct

from headgate_insights.errors import WrongQuestion

__all__ = [
    "convert_options",
    "decode_options",
    "names_file",
    "option_name",
    "options_of",
    "takes_several",
]

S = TypeVar("S", bound=Struct)


def options_of(config: type[Struct]) -> list[click.Option]:
    """Makes the options of a Struct, in the order of its fields."""
    return [_option(field) for field in msgspec.structs.fields(config)]


def decode_options(config: type[S], given: dict[str, Any]) -> S:
    """Makes the Struct of what the command line gives; what is not given keeps its default.

    Raises:
        WrongQuestion: a value is out of bounds.
    """
    names = {_variable(field): field for field in msgspec.structs.fields(config)}
    values = {
        field.encode_name: list(value) if isinstance(value, tuple) else value
        for variable, field in names.items()
        if (value := given.get(variable)) not in (None, ())
    }
    return convert_options(config, values)


def convert_options(config: type[S], values: Mapping[str, Any], *, strict: bool = True) -> S:
    """Makes the Struct of values by the names of its fields.

    Args:
        strict: False for texts, such as those of a query.

    Raises:
        WrongQuestion: a value is out of bounds.
    """
    try:
        return msgspec.convert(dict(values), config, strict=strict)
    except msgspec.ValidationError as error:
        raise WrongQuestion(_mended(f"{error}")) from None


def _mended(error: str) -> str:
    """Says what is wrong with an option in the words of the command."""
    what, _, place = error.partition(" - at `$.")
    option = option_name(place.partition("[")[0].rstrip("`")) if place else "an option"
    if times := re.fullmatch(r"Expected `array` of length (>=|<=) (\d+)", what):
        return f"{option}: give it at {'least' if times[1] == '>=' else 'most'} {times[2]} times"
    if lacking := re.fullmatch(r"Object missing required field `(\w+)`", what):
        return f"{option_name(lacking[1])} is needed"
    return f"{option}: {what[:1].lower()}{what[1:]}"


def takes_several(field: msgspec.structs.FieldInfo) -> bool:
    """Tells whether an option may be given several times."""
    return get_origin(getattr(field.type, "__origin__", field.type)) in (tuple, list)


def names_file(field: msgspec.structs.FieldInfo) -> bool:
    """Tells whether an option names a file, by ``Meta(extra={"file": True})``."""
    metas = getattr(field.type, "__metadata__", ())
    return any(isinstance(one, Meta) and (one.extra or {}).get("file") for one in metas)


def option_name(field: str) -> str:
    """Returns the option of a field: ``--start`` for ``start``."""
    return "--" + field.replace("_", "-")


def _variable(field: msgspec.structs.FieldInfo) -> str:
    return f"{field.encode_name}_".replace("-", "_")


def _option(field: msgspec.structs.FieldInfo) -> click.Option:
    kind, help_ = field.type, ""
    if metadata := getattr(kind, "__metadata__", None):
        help_ = " ".join(
            meta.description for meta in metadata if isinstance(meta, Meta) and meta.description
        )
        kind = kind.__origin__
    flags = option_name(field.encode_name)
    if kind is bool:
        return click.Option([flags, _variable(field)], is_flag=True, default=None, help=help_)
    default = field.default
    shown = "" if default in ("", None, msgspec.NODEFAULT, ()) else f" [default: {default}]"
    if isinstance(default, tuple) and default:
        shown = f" [default: {' '.join(map(str, default))}]"
    required = default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    return click.Option(
        [flags, _variable(field)],
        type=_click_type(kind),
        multiple=get_origin(kind) in (tuple, list),
        default=None,
        required=required,
        help=help_ + shown,
        metavar=None if get_origin(kind) is Literal else "TEXT" if kind is str else None,
    )


def _click_type(kind: Any) -> Any:
    origin = get_origin(kind)
    if origin is Literal:
        return click.Choice([one for one in get_args(kind) if one])
    if origin in (tuple, list):
        return _click_type(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return _click_type(next(one for one in get_args(kind) if one is not type(None)))
    return {int: int, float: float}.get(kind, str)
