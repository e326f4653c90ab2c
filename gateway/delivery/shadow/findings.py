"""Counts what a shadow found, and keeps a few events as examples."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.config.settings import ShadowSettings
from gateway.delivery.shadow.report import OUTCOMES, Example, ShadowReport
from gateway.delivery.shadow.side import WouldSend
from gateway.events.event import Event
from gateway.events.json_diff import Change, changes
from gateway.events.timestamps import format_ms

__all__ = ["MOST_CHANGES", "MOST_NAMES", "MOST_SHOWN_BYTES", "Findings"]

MOST_CHANGES = 20
"""Most changes that are kept of one example."""

MOST_NAMES = 100
"""Most different paths, and most different reasons, that are counted; the rest is ``other``."""

MOST_SHOWN_BYTES = 32_768
"""Most bytes of JSON that are kept of what would be sent of one event; of more, only the size."""


class Findings:
    """The findings of one shadow since the config was last read.

    Args:
        id_: id of the shadow.
        counted: counts of outcomes that outlive these findings.
        clock: wall clock in milliseconds.
    """

    def __init__(
        self, id_: str, settings: ShadowSettings, counted: Counter[str], clock: Callable[[], int]
    ) -> None:
        self._id = id_
        self._settings = settings
        self._counted = counted
        self._clock = clock
        self._since_ms = clock()
        self._counts: Counter[str] = Counter()
        self._paths: Counter[str] = Counter()
        self._whys: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._examples: dict[str, list[Example]] = {}
        self._recent: deque[Example] = deque(maxlen=settings.max_examples)

    def count(self, outcome: str, number: int = 1) -> None:
        """Counts events with an outcome."""
        self._counts[outcome] += number
        self._counted[outcome] += number

    def add(self, event: Event, shadow: WouldSend, live: WouldSend | None) -> None:
        """Adds an event with what both sides would send.

        Args:
            live: None if the shadow is not of another destination.
        """
        differences: list[Change] = []
        if live is None:
            outcome = "sendable" if shadow.sends else "withheld"
        elif shadow.sends and live.sends:
            differences = self._changes(live.sends, shadow.sends)
            outcome = "different" if differences else "same"
        elif shadow.sends:
            outcome = "only_shadow"
        else:
            outcome = "only_live" if live.sends else "neither"
        self.count(outcome)
        for whys, side in zip(self._whys, (shadow, live), strict=True):
            if side is not None and side.why:
                _count(whys, side.why)
        for path in {_without_places(change.path) for change in differences}:
            _count(self._paths, path)
        self._keep(event, outcome, differences, shadow, live)

    def forget(self) -> None:
        """Forgets the contents of events; the counts stay."""
        self._examples.clear()
        self._recent.clear()

    def report(self) -> ShadowReport:
        """Returns the findings in the form for users."""
        shadow_why, live_why = self._whys
        return ShadowReport(
            id=self._id,
            of=self._settings.of or "",
            since=format_ms(self._since_ms),
            counts={name: self._counts[name] for name in OUTCOMES if self._counts[name]},
            paths=dict(self._paths.most_common()),
            shadow_why=dict(shadow_why.most_common()),
            live_why=dict(live_why.most_common()),
            examples=[one for examples in self._examples.values() for one in examples],
            recent=list(self._recent),
        )

    def _changes(self, live: list[dict[str, Any]], shadow: list[dict[str, Any]]) -> list[Change]:
        if live == shadow and not self._settings.ignore:
            return []
        return [one for one in changes(live, shadow) if not self._ignored(one.path)]

    def _ignored(self, path: str) -> bool:
        path = _without_places(path)
        return any(
            path == ignored or path.startswith((f"{ignored}.", f"{ignored}["))
            for ignored in self._settings.ignore
        )

    def _keep(
        self,
        event: Event,
        outcome: str,
        differences: list[Change],
        shadow: WouldSend,
        live: WouldSend | None,
    ) -> None:
        """Keeps an event as an example if there is room for more of its outcome."""
        differs = outcome in ("different", "only_shadow", "only_live", "withheld")
        examples = self._examples.setdefault(outcome, []) if differs else []
        wanted = differs and len(examples) < self._settings.max_examples
        if not wanted and not shadow.sends:
            return
        example = Example(
            format_ms(self._clock()),
            event.message_id,
            event.event or event.type,
            outcome,
            [_bounded_change(change) for change in differences[:MOST_CHANGES]],
            _bounded(shadow.sends) if shadow.sends else None,
            shadow.why,
            _bounded(live.sends) if live is not None and live.sends else None,
            "" if live is None else live.why,
        )
        if wanted:
            examples.append(example)
        if shadow.sends:
            self._recent.append(example)


_PLACE = re.compile(r"\[\d+\]")


def _without_places(path: str) -> str:
    """Returns ``body.items[].name`` for ``[0].body.items[3].name``: the same for all requests."""
    return _PLACE.sub("[]", path).removeprefix("[]").removeprefix(".")


def _count(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MOST_NAMES else "other"] += 1


def _bounded(value: Any) -> Any:
    size = len(msgspec.json.encode(value))
    return value if size <= MOST_SHOWN_BYTES else f"({size:,} bytes)"


def _bounded_change(change: Change) -> Change:
    values = (v if v is msgspec.UNSET else _bounded(v) for v in (change.was, change.now))
    return Change(change.path, *values)
