"""The board of `gateway demo`: the events that were sent, and the gateway's own counts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["Board", "DestinationRow"]

_TYPES_SHOWN = 10
_EVENTS_SHOWN = 10
_RATE_WINDOW_SECONDS = 5.0
_LEFT_WIDTHS = {"time": len("10:00:00"), "newest": len("Product Viewed"), "who": len("user-00042")}


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """Events of one destination since the start of the demo; `pending` is the current number."""

    delivered: int
    filtered: int
    dead: int
    pending: int


@dataclass(slots=True)
class Board:
    """The state of a demo.

    Attributes:
        sent: events that the gateway answered 200 for.
        by_name: the same by name, or by type where there is no name.
        last: the newest events, oldest first: time, name, user, detail.
        accepted, duplicate, discarded: counted by the gateway over all its sources; `accepted` is
            None if the gateway does not answer.
        trouble: why the last batch has to be sent again, or empty.
    """

    duration_seconds: float
    speed: float
    url: str = ""
    elapsed_seconds: float = 0.0
    sent: int = 0
    by_name: Counter[str] = field(default_factory=Counter)
    last: deque[tuple[str, str, str, str]] = field(
        default_factory=lambda: deque(maxlen=_EVENTS_SHOWN)
    )
    accepted: int | None = None
    duplicate: int = 0
    discarded: int = 0
    destinations: dict[str, DestinationRow] = field(default_factory=dict)
    trouble: str = ""
    _history: deque[tuple[float, int]] = field(default_factory=deque)

    def record(self, event: Mapping[str, Any]) -> None:
        """Adds an event that was accepted."""
        name = event.get("event") or event["type"]
        self.sent += 1
        self.by_name[name] += 1
        who = event.get("userId") or event["anonymousId"][:8]
        self.last.append((event["timestamp"][11:19], name, who, _detail(event)))

    def tick(self, elapsed_seconds: float) -> None:
        """Updates the time, and the rate."""
        self.elapsed_seconds = elapsed_seconds
        self._history.append((elapsed_seconds, self.sent))
        while self._history[0][0] < elapsed_seconds - _RATE_WINDOW_SECONDS:
            self._history.popleft()

    @property
    def rate(self) -> float:
        """Events a second over the last few seconds."""
        if not self._history:
            return 0.0
        (before, sent_before), (now, sent_now) = self._history[0], self._history[-1]
        return (sent_now - sent_before) / (now - before) if now > before else 0.0

    def count(self, counts: Counter[tuple[str, str]], base: Counter[tuple[str, str]]) -> None:
        """Takes the gateway's counts, minus those from before the demo."""
        since = counts.copy()
        since.subtract(base)

        def over_sources(name: str) -> int:
            return sum(number for (n, _), number in since.items() if n == name)

        self.accepted = over_sources("headgate_events_accepted_total")
        self.duplicate = over_sources("headgate_events_duplicate_total")
        self.discarded = over_sources("headgate_events_discarded_total")
        pending = "headgate_destination_pending_events"
        self.destinations = {
            id_: DestinationRow(
                delivered=since["headgate_destination_delivered_total", id_],
                filtered=since["headgate_destination_filtered_total", id_],
                dead=since["headgate_destination_dead_total", id_],
                pending=counts[pending, id_],
            )
            for name, id_ in counts
            if name == pending
        }

    @property
    def settled(self) -> bool:
        """True if the gateway has nothing left to deliver."""
        return self.accepted is not None and not any(
            row.pending for row in self.destinations.values()
        )

    @property
    def complete(self) -> bool:
        """True if all events were accepted, and delivered or filtered at every destination."""
        return (
            self.settled
            and self.accepted == self.sent
            and not any(
                row.dead or row.delivered + row.filtered != self.sent
                for row in self.destinations.values()
            )
        )

    # -- showing ---------------------------------------------------------------

    def line(self) -> str:
        """Returns the state in one line."""
        parts = [f"{self.elapsed_seconds:5.1f} s", f"sent {self.sent} ({self.rate:.0f}/s)"]
        if self.accepted is not None:
            parts.append(f"accepted {self.accepted}")
        parts += [
            f"{id_}: delivered {row.delivered}"
            + (f", filtered {row.filtered}" if row.filtered else "")
            + (f", dead {row.dead}" if row.dead else "")
            + f", pending {row.pending}"
            for id_, row in self.destinations.items()
        ]
        if self.trouble:
            parts.append(self.trouble)
        return "  ".join(parts)

    def summary(self) -> str:
        """Returns the final counts in a few lines."""
        lines = [f"sent       {self.sent} events"]
        if self.accepted is None:
            return f"{lines[0]}\nThe gateway's own counts cannot be had: no answer from /metrics."
        counted = f"accepted   {self.accepted}"
        if self.duplicate:
            counted += f", and {self.duplicate} seen before"
        if self.discarded:
            counted += f", and {self.discarded} discarded"
        lines.append(counted)
        for id_, row in self.destinations.items():
            told = f"delivered  {row.delivered} to {id_}"
            if row.filtered:
                told += f", {row.filtered} filtered by config"
            if row.dead:
                told += f", {row.dead} dead letters"
            if row.pending:
                told += f", {row.pending} pending"
            lines.append(told)
        return "\n".join(lines)

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        head = Text.assemble(
            ("Headgate demo ", "bold green"),
            f"{self.url}   {self.elapsed_seconds:.0f} of {self.duration_seconds:g} s",
            f"   shop time x{self.speed:g}   ",
            (f"{self.rate:,.0f} events/s", "bold"),
        )
        middle = Table.grid(padding=(0, 3))
        middle.add_row(self._names(), self._newest())
        parts: list[RenderableType] = [head, "", middle, "", self._outcome()]
        if self.trouble:
            parts.append(Text(self.trouble, "yellow"))
        return Group(*parts)

    def _names(self) -> Table:
        from rich.text import Text

        table = _table("event", "sent")
        for name, number in self.by_name.most_common(_TYPES_SHOWN):
            table.add_row(Text(name), f"{number:,}")
        rest = self.sent - sum(n for _, n in self.by_name.most_common(_TYPES_SHOWN))
        if rest:
            table.add_row("others", f"{rest:,}", style="dim")
        return table

    def _newest(self) -> Table:
        from rich.text import Text

        table = _table("time", "newest", "who", "")
        for row in self.last:
            table.add_row(*(Text(cell) for cell in row))
        table.columns[3].justify = "right"
        return table

    def _outcome(self) -> Table:
        from rich.text import Text

        table = _table("gateway", "accepted", "duplicate", "discarded")
        shown = "?" if self.accepted is None else f"{self.accepted:,}"
        table.add_row("all sources", shown, f"{self.duplicate:,}", f"{self.discarded:,}")
        table.add_section()
        table.add_row(
            "[bold]destination", *(f"[bold]{n}" for n in ("delivered", "filtered", "pending"))
        )
        for id_, row in self.destinations.items():
            pending = f"{row.pending:,}" + (f" [red]({row.dead:,} dead)[/]" if row.dead else "")
            table.add_row(Text(id_), f"{row.delivered:,}", f"{row.filtered:,}", pending)
        return table


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if index else "left"
        if column in _LEFT_WIDTHS:
            justify = "left"
        table.add_column(column, justify=justify, no_wrap=True, min_width=_LEFT_WIDTHS.get(column))
    return table


def _detail(event: Mapping[str, Any]) -> str:
    body = event.get("properties") or {}
    if "revenue" in body:
        return f"{body['revenue']:.2f} {body.get('currency', '')}"
    return str(body.get("query") or body.get("category") or body.get("path") or "")
