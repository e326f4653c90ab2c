"""The report as one HTML page that loads nothing and runs nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from headgate_insights.report.build import Change, Report, Section
from headgate_insights.report.drawings import draw, marked
from headgate_insights.words import (
    change_words,
    completeness_words,
    facts,
    headline_words,
    lift_words,
    value_words,
)

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["cause_words", "page_of"]

_MOST_HEADLINES = 8
_MOST_CHANGED = 10
_MOST_CORRECTED = 20
_MOST_PARTS = 3


def page_of(report: Report) -> str:
    """Writes the page."""
    zone = ZoneInfo(report.zone)

    def local(moment: datetime) -> str:
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"

    style = (files(__package__) / "page.css").read_text(encoding="utf-8")
    return _template().render(
        report=report,
        style=style,
        # The policy lets only this style in, so text of events can never become a style or script.
        style_hash=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        sections=[_shown(section, report) for section in report.sections],
        changed=report.changed[:_MOST_CHANGED],
        corrected=report.corrections[:_MOST_CORRECTED],
        local=local,
        headline=headline_words,
        value=value_words,
        change_words=change_words,
        lift_words=lift_words,
        cause_words=cause_words,
        completeness=completeness_words(report.completeness),
    )


def cause_words(change: Change) -> str:
    """Says which part of which breakdown explains a change."""
    if change.cause is None:
        if change.spread:
            return "No breakdown explains it: it is spread evenly."
        return ""
    unit = change.now.unit

    def part_words(contribution: float) -> str:
        if unit == "%":
            return f"{contribution * 100:+.1f} points"
        sign = "+" if contribution >= 0 else "-"
        return sign + value_words(round(abs(contribution), 2), unit)

    found = [
        f"{part.label} {part_words(part.contribution)} ({part.share:.0%} of the change, "
        f"{part.size:.0%} of the whole before)"
        for part in change.cause.parts[:_MOST_PARTS]
    ]
    return f"By {change.cause.by}: " + "; ".join(found) + "."


def _shown(section: Section, report: Report) -> dict[str, Any]:
    """Returns what the template shows of a figure."""
    if section.answer is None or section.chart is None or section.calendar is None:
        return {"section": section}
    chart, marks = marked(section.chart, report.marks or [])
    first, last = section.answer.provenance.start, section.answer.provenance.end
    calendar = section.calendar
    subtitle = section.chart["title"]
    return {
        "section": section,
        "drawings": draw(chart),
        "chart_title": f"{subtitle['text']}: {subtitle['subtitle']}",
        "marks": marks,
        "days": (
            calendar.date_of("day", calendar.day_of(first)),
            calendar.date_of("day", calendar.day_of(last) - 1),
        ),
        "zone": calendar.zone,
        "changes": section.changes[:_MOST_HEADLINES],
        "compared": section.answer.previous_note,
        "arms": section.answer.arms,
        "facts": list(facts(section.answer, calendar)),
        "n": section.answer.provenance.facts.events,
    }


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = (files(__package__) / "page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)
