"""Parts of Vega-Lite specifications, so that all charts look alike.

The colours are those of Okabe and Ito, which people with any kind of colour blindness tell apart;
scales of one colour are `blues`. What is incomplete is dashed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["COLOURS", "DASHED", "axis", "chart", "joined", "rows_of"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#999999")
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def rows_of(rows: Iterable[Struct]) -> list[dict[str, Any]]:
    """Returns rows as plain objects."""
    return [msgspec.to_builtins(row) for row in rows]


def chart(
    title: str, subtitle: str, data: list[dict[str, Any]], body: dict[str, Any]
) -> dict[str, Any]:
    """Returns a specification.

    Args:
        subtitle: range, zone and what else a reader of the picture alone must know.
        body: mark and encoding, or layers.
    """
    return {
        "$schema": _SCHEMA,
        "title": {
            "text": title,
            "subtitle": subtitle,
            "anchor": "start",
            "fontSize": 16,
            "subtitleColor": "#555555",
            "offset": 12,
        },
        "width": 640,
        "height": 320,
        "background": "white",
        "padding": 16,
        "data": {"values": data},
        "config": {
            "font": "DejaVu Sans, Helvetica, Arial, sans-serif",
            "range": {"category": list(COLOURS)},
            "axis": {"labelColor": "#333333", "titleColor": "#333333", "gridColor": "#E5E5E5"},
            "view": {"stroke": None},
        },
        **body,
    }


def axis(field: str, title: str, kind: str, **more: Any) -> dict[str, Any]:
    """Returns the encoding of a field on an axis."""
    return {"field": field, "type": kind, "title": title, **more}


DASHED: dict[str, Any] = {
    "field": "complete",
    "type": "nominal",
    "scale": {"domain": [True, False], "range": [[1, 0], [4, 4]]},
    "legend": None,
}
"""The encoding that draws the incomplete part of a line dashed; for rows of `joined`."""


def joined(rows: list[dict[str, Any]], *line: str) -> list[dict[str, Any]]:
    """Returns rows whose incomplete part begins where the complete part of its line ends.

    A line that changes its dash is two lines. Without a common point there is a gap between them.

    Args:
        rows: in the order of the horizontal axis, each with the key ``complete``.
        line: the keys that tell one line from another.
    """
    found: list[dict[str, Any]] = []
    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in line)
        before = last.get(key)
        if before is not None and before["complete"] and not row["complete"]:
            found.append({**before, "complete": False})
        last[key] = row
        found.append(row)
    return found
