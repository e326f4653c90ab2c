"""Parts of Vega-Lite specifications, so that all charts look alike.

The colours are those of Okabe and Ito, which people with any kind of colour blindness tell apart;
scales of one colour are `blues`. What is incomplete is dashed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["COLOURS", "axis", "chart", "joined", "line", "rows_of"]

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


def axis(field: str, title: str | None, kind: str, **more: Any) -> dict[str, Any]:
    """Returns the encoding of a field on an axis."""
    return {"field": field, "type": kind, "title": title, **more}


_DASHED: dict[str, Any] = {
    "field": "complete",
    "type": "nominal",
    "scale": {"domain": [True, False], "range": [[1, 0], [4, 4]]},
    "legend": None,
}


def line(
    x: dict[str, Any],
    y: dict[str, Any],
    *,
    series: str = "",
    title: str = "",
    where: str = "true",
    band: bool = False,
    thin: bool = False,
) -> list[dict[str, Any]]:
    """Returns the layers of lines over rows of `joined`: dashed where incomplete.

    Args:
        series: the field that tells the lines apart by colour; empty for one line.
        title: of the legend of `series`.
        where: the Vega expression of the rows that are drawn.
        band: draws the interval too, from the fields ``low`` and ``high``.
        thin: draws the lines thin and grey, as the background of others.
    """
    colour: dict[str, Any] = {"value": COLOURS[0]}
    if thin:
        colour = {"value": "#777777"}
    elif series:
        colour = {"field": series, "type": "nominal", "title": title or series, "sort": None}
    encoding = {"x": x, "y": y, "detail": {"field": series}} if series else {"x": x, "y": y}
    mark = {"type": "line", "strokeWidth": 1 if thin else 2.5, "opacity": 0.35 if thin else 1}
    layers = [
        {
            "mark": {**mark, "point": not thin},
            "encoding": {**encoding, "color": colour, "strokeDash": _DASHED},
        }
    ]
    if band:
        bounds = {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour}
        area = {"mark": {"type": "area", "opacity": 0.18}, "encoding": {**encoding, **bounds}}
        layers.insert(0, area)
    return [{"transform": [{"filter": where}], **layer} for layer in layers]


def joined(rows: list[dict[str, Any]], *series: str) -> list[dict[str, Any]]:
    """Returns rows whose incomplete part begins where the complete part of its line ends.

    A line that changes its dash is two lines. Without a common point there is a gap between them.

    Args:
        rows: in the order of the horizontal axis, each with the key ``complete``.
        series: the keys that tell one line from another.
    """
    found: list[dict[str, Any]] = []
    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in series)
        before = last.get(key)
        if before is not None and before["complete"] and not row["complete"]:
            found.append({**before, "complete": False})
        last[key] = row
        found.append(row)
    return found
