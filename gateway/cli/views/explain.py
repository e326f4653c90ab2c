"""The explanation of an event in a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from rich.markup import escape

from gateway.cli.console import Console
from gateway.events.printing import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.events.json_diff import Change
    from gateway.intake.dry_run import Step
    from gateway.runtime.explain.explainer import Delivery, Explained, Explanation, Place

__all__ = ["changed_line", "show"]

_LONGEST_VALUE = 100
_NAME_WIDTH = 12
_OUTCOMES = {
    "passed": "dim",
    "changed": "yellow",
    "dropped": "red",
    "failed": "bold red",
    "duplicate": "yellow",
    "stored": "green",
    "is stored": "green",
    "discarded": "red",
    "sent": "green",
    "nothing to send": "green",
    "filtered": "yellow",
    "refused": "bold red",
    "shadow": "magenta",
    "not shown": "magenta",
    "disabled": "dim",
}
_MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
_SAID = {
    "sent": "would be sent",
    "filtered": "filtered by",
    "shadow": "is a shadow: nothing is sent; were it none:",
}
_WORDS = {
    "stored": "would be stored",
    "is stored": "is stored",
    "duplicate": "would not be stored: an event with its id is there; were it not:",
    "discarded": "would not be stored",
}


def show(found: Explanation, *, with_event: bool = False, console: Console | None = None) -> None:
    """Prints an explanation."""
    console = console or Console(highlight=False, soft_wrap=True)
    if found.answer is not None and found.answer.code:
        console.print(
            f"[bold red]the request is refused[/]: {found.answer.status} {_text(found.answer.code)}"
        )
    if found.discarded:
        counts = ", ".join(f"{number} of {code}" for code, number in found.discarded.items())
        console.print(f"[red]cannot be read as events[/]: {_text(counts)}")
    for number, one in enumerate(found.events):
        if number:
            console.print()
        _show_event(console, one, len(found.events), with_event=with_event)


def _show_event(console: Console, one: Explained, of: int, *, with_event: bool) -> None:
    event = one.event
    title = " ".join(filter(None, (event.get("type", ""), event.get("event") or event.get("name"))))
    which = f"event {one.place + 1} of {of}: " if of > 1 else ""
    console.print(f"{which}[bold]{_text(title) or 'an event'}[/] [dim]{_text(one.message_id)}[/]")
    for step in one.steps:
        _show_step(console, step, "  ")
    colour = _OUTCOMES[one.outcome]
    detail = f": {_text(one.code)}" if one.code else ""
    at = ""
    if one.offset is not None:
        at = f" at offset {one.offset}" + (f" of worker {one.shard}" if one.shard else "")
    console.print(f"  [{colour}]{_WORDS[one.outcome]}{at}[/]{detail}")
    if with_event:
        _show_json(console, event, "    ")
    for made in one.made:
        console.print(f"  [cyan]makes an event[/] {_text(made.get('event', ''))}")
        _show_json(console, made.get("properties", {}), "    ")
    for place in one.groups:
        console.print(f"  {_group(place)}")
    for delivery in one.destinations:
        _show_delivery(console, delivery)


def _show_step(console: Console, step: Step, indent: str) -> None:
    name = _text(step.id or step.step).ljust(_NAME_WIDTH)
    what = _text(step.step) if step.id and step.step != "transform" else ""
    detail = _text(step.detail)
    said = " ".join(filter(None, (what, detail)))
    console.print(
        f"{indent}{name} [{_OUTCOMES[step.outcome]}]{step.outcome}[/]"
        + (f" [dim]{said}[/]" if said else "")
    )
    _show_changes(console, step.changes, indent + "  ")


def _show_changes(console: Console, found: Iterable[Change], indent: str) -> None:
    for change in found:
        console.print(indent + changed_line(change))


def changed_line(change: Change) -> str:
    """Returns a change as one line of rich's markup."""
    mark, colour = _MARKS[change.kind]
    values = [_value(value) for value in (change.was, change.now) if value is not UNSET]
    return f"[{colour}]{mark} {_text(change.path or '(all)')}[/]  {' [dim]→[/] '.join(values)}"


def _show_delivery(console: Console, delivery: Delivery) -> None:
    colour = _OUTCOMES[delivery.outcome]
    outcome = _SAID.get(delivery.outcome, delivery.outcome)
    detail = _text(delivery.detail)
    console.print(
        f"[bold]→ {_text(delivery.destination)}[/] [dim]{_text(delivery.type)}[/]  "
        f"[{colour}]{outcome}[/]" + (f" {detail}" if detail else "")
    )
    for step in delivery.steps:
        _show_step(console, step, "    ")
    for sends in delivery.sends:
        if "to" in sends:
            console.print(f"    [bold cyan]to {_text(sends['to'])}[/]")
            _show_json(console, sends["content"], "    ")
            continue
        console.print(f"    [bold cyan]{sends['method']} {_text(sends['url'])}[/]")
        for name, value in sends["headers"].items():
            console.print(f"    [dim]{_text(name)}: {_text(value)}[/]")
        _show_json(console, sends["body"], "    ")


def _show_json(console: Console, value: Any, indent: str) -> None:
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    text = (
        value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    ).rstrip("\n")
    for line in text.split("\n"):
        shown = Text(printable(line))
        if not isinstance(value, str):
            JSONHighlighter().highlight(shown)
        console.print(Text(indent).append_text(shown))


def _group(place: Place) -> str:
    where = "in no arm" if place.arm is None else f"[bold]{place.arm}[/] arm"
    if place.position is None:
        return f"group [bold]{_text(place.group)}[/]: {where}, for it has no id there"
    return (
        f"group [bold]{_text(place.group)}[/]: {where} "
        f"[dim]({_text(place.id or '')} is at {place.position:g}, "
        f"test is below {place.percent:g})[/]"
    )


def _value(value: Any) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    if len(text) > _LONGEST_VALUE:
        text = text[: _LONGEST_VALUE - 1] + "…"
    return escape(text)


def _text(text: object) -> str:
    return escape(printable(str(text)))
