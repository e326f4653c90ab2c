"""Charts of a report as SVG, for light and dark, wide and narrow screens."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import date
from typing import Any

from msgspec import Struct

from headgate_insights.charts import COLOURS
from headgate_insights.report.marks import Mark

__all__ = ["Drawings", "draw", "marked"]

_NARROW = 250
_MARK = "#D55E00"


class Drawings(Struct, frozen=True):
    """A chart as ``data:`` URLs, which can neither load nor run anything."""

    wide: str
    wide_dark: str
    narrow: str
    narrow_dark: str


def draw(spec: dict[str, Any]) -> Drawings:
    """Draws a chart four times."""
    import vl_convert  # takes 0.1 s and 80 MB of memory, which no other command needs

    def url(one: dict[str, Any]) -> str:
        svg = vl_convert.vegalite_to_svg(one)
        return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()

    spec = _untitled(spec)
    narrow = _narrow(spec)
    return Drawings(url(spec), url(_dark(spec)), url(narrow), url(_dark(narrow)))


def marked(spec: dict[str, Any], marks: Sequence[Mark]) -> tuple[dict[str, Any], list[Mark]]:
    """Draws changes of the gateway into a chart over time.

    Returns:
        the chart, and the marks that it shows: those within its times. A chart that is not over
        time, and one without layers, stays as it is.
    """
    layers = spec.get("layer", [])
    x: dict[str, Any] = next((layer.get("encoding", {}).get("x", {}) for layer in layers), {})
    if x.get("type") != "temporal":
        return spec, []
    moments = [str(row[x["field"]]) for row in spec["data"]["values"] if row.get(x["field"])]
    if not moments:
        return spec, []
    shown = [mark for mark in marks if min(moments) <= f"{mark.at:%Y-%m-%d}" <= max(moments)[:10]]
    if not shown:
        return spec, []
    at = {"field": "at", "type": "temporal", "title": x.get("title")}
    data = {"values": _places(shown)}
    colour = {"value": _MARK}
    rule = {
        "data": data,
        "mark": {"type": "rule", "strokeDash": [2, 3]},
        "encoding": {"x": at, "color": colour},
    }
    number = {
        "data": data,
        "mark": {"type": "text", "dy": -8, "fontWeight": "bold"},
        "encoding": {
            "x": at,
            "y": {"value": 0},
            "text": {"field": "n", "type": "nominal"},
            "color": colour,
        },
    }
    return {**spec, "layer": [*layers, rule, number]}, shown


def _places(marks: Sequence[Mark]) -> list[dict[str, Any]]:
    """Returns where marks stand; those of a day have one place, or their numbers would overlap."""
    places: dict[date, list[int]] = {}
    for number, mark in enumerate(marks, 1):
        places.setdefault(mark.at.date(), []).append(number)
    return [
        {
            "at": f"{marks[numbers[0] - 1].at:%Y-%m-%dT%H:%M}",
            "n": f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}",
        }
        for numbers in places.values()
    ]


def _untitled(spec: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what the page says beside the picture."""
    config = spec["config"]
    axis = {**config.get("axis", {}), "labelOverlap": True}
    rest = {key: value for key, value in spec.items() if key != "title"}
    return {**rest, "padding": 4, "config": {**config, "axis": axis}}


def _narrow(spec: dict[str, Any]) -> dict[str, Any]:
    config = spec["config"]
    legend = {"orient": "bottom", "columns": 2, "titleLimit": 240}
    config = {**config, "legend": {**config.get("legend", {}), **legend}}
    width = {"step": 14} if isinstance(spec.get("width"), dict) else _NARROW
    return {**spec, "width": width, "height": 240, "config": config}


def _dark(spec: dict[str, Any]) -> dict[str, Any]:
    config = spec["config"]
    ink = {"labelColor": "#DDDDDD", "titleColor": "#DDDDDD"}
    lines = {"gridColor": "#3A3F44", "domainColor": "#888888", "tickColor": "#888888"}
    colours = ["#FFFFFF" if one == "#000000" else one for one in COLOURS]
    config = {
        **config,
        "axis": {**config.get("axis", {}), **ink, **lines},
        "legend": {**config.get("legend", {}), **ink},
        "header": ink,
        "text": {"fill": "#DDDDDD"},
        "range": {**config.get("range", {}), "category": colours},
    }
    return {**spec, "background": "#15181B", "config": config}
