"""Ids and traits of a person, for destinations that pass them on to a vendor."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway.events.values import as_mapping

__all__ = ["flat_address", "real_id"]

_PLACEHOLDERS = frozenset(
    {
        *("anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown"),
        *("{}", "", "0", "-1", "00000000-0000-0000-0000-000000000000", "lmy47d"),
    }
)


def real_id(id_: str | None, placeholders: Collection[str] = ()) -> str | None:
    """Returns an id, or None for texts that broken clients send in place of one.

    Such texts, ``null`` or ``unknown``, would join all those users into one.

    Args:
        placeholders: more of them that a vendor refuses, in lower case.
    """
    folded = "" if id_ is None else id_.strip().lower()
    return None if folded in _PLACEHOLDERS or folded in placeholders else id_


def flat_address(traits: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of traits with the keys of `address` beside the others, which win.

    Vendors cannot search within an object. Anything but an object with keys stays as it is.
    """
    address = as_mapping(traits.get("address"))
    if not address:
        return dict(traits)
    return {**address, **{key: value for key, value in traits.items() if key != "address"}}
