"""Shadows: destinations that get events as any other would, and to which nothing is sent.

A shadow shows what a new mapping, a new release of a plugin or another vendor would make of live
events, before anybody else sees it. Its events run through its consent, transforms, mapping and
checks up to the request; that is noted down (`gateway.components.dry_run`) and, where it is the
shadow *of* another destination, compared with what that one makes of the same event. Both are
rehearsed one event at a time, by instances of their own, so that batches, retries and outages of
the live one make no difference, and it is not slowed down or changed by being looked at.

In the books every event that a shadow has looked at, or let go by to keep within its rate, is
filtered by the rule ``shadow``. What was found is counted, see `OUTCOMES`; a few events are kept as
examples, in memory, until the gateway stops, its config is read again or somebody is erased.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.components.destination import Batch
from gateway.config.settings import ShadowSettings
from gateway.delivery.dry_run import Shown, rehearse
from gateway.delivery.selection import Outgoing, Selection
from gateway.events.envelope.sealed import Run
from gateway.events.event import Event
from gateway.events.json_diff import Change, changes
from gateway.events.timestamps import format_ms

if TYPE_CHECKING:
    from gateway.delivery.built import BuiltDestination
from gateway.delivery.shadow.report import OUTCOMES, Example, ShadowReport

__all__ = ["MOST_CHANGES", "MOST_NAMES", "MOST_SHOWN_BYTES", "SHADOW", "Shadow", "Side"]

SHADOW = "shadow"
"""The rule by which the events of a shadow are filtered."""


MOST_CHANGES = 20
"""Of one example that are kept."""

MOST_NAMES = 100
"""Different paths, and different reasons, that are counted; all others are ``other``."""

MOST_SHOWN_BYTES = 32_768
"""Of what would be sent of one event that is kept as JSON; of more, its size."""


@dataclass(frozen=True, slots=True)
class _Would:
    """What a side would do with an event: send, or not, and why."""

    sends: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""


class Side:
    """One of two that are compared.

    Args:
        built: a destination that rehearses and is nobody else's.
        selection: what decides which events go to it.
    """

    def __init__(self, built: BuiltDestination, selection: Selection) -> None:
        assert built.rehearsal is not None
        self.built = built
        self._rehearsal = built.rehearsal
        self._selection = selection
        self._shown = Shown(())
        self._secrets = 0

    async def would(self, event: Event, offset: int) -> _Would:
        """What becomes of an event, which stays as it is."""
        outgoing = Outgoing(0)
        self._selection.sort([event], [offset], outgoing)
        for rule in outgoing.filtered:
            return _Would(why=f"filtered: {rule}")
        for letter in outgoing.dead:
            return _Would(why=letter.detail)
        batch = Batch(tuple(outgoing.events), (offset,), queue_id=SHADOW)
        shown = self._show()
        try:
            async with asyncio.timeout(self.built.settings.timeout_seconds):
                found = await rehearse(self.built.destination, self._rehearsal, batch)
        except TimeoutError:
            return _Would(why="it takes longer than timeout_seconds")
        for error in found.failed.values():
            return _Would(why=shown.error(error))
        sends = [shown(planned) for planned in found.planned]
        return _Would(sends, "" if sends else "nothing to send")

    def _show(self) -> Shown:
        """What shows requests without the secrets that are known by now; they only grow more."""
        if len(self._rehearsal.secrets) > self._secrets:
            self._secrets = len(self._rehearsal.secrets)
            self._shown = Shown(self._rehearsal.secrets)
        return self._shown


class Shadow:
    """Looks at events, and remembers what it saw; the `Interceptor` of its selection.

    Args:
        id_: of the shadow.
        counted: where outcomes are counted for longer than this lasts.
        live: what it is compared with; None where it is the shadow of nothing.
        max_per_second: events that are looked at.
        clock: wall clock in milliseconds.
        monotonic: in seconds.
    """

    def __init__(
        self,
        id_: str,
        settings: ShadowSettings,
        counted: Counter[str],
        shadow: Side,
        live: Side | None,
        *,
        max_per_second: float,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = id_
        self._counts: Counter[str] = Counter()
        self._counted = counted
        self._settings = settings
        self._shadow = shadow
        self._live = live
        self._clock = clock
        self._since_ms = clock()
        self._paths: Counter[str] = Counter()
        self._whys: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._examples: dict[str, list[Example]] = {}
        self._recent: deque[Example] = deque(maxlen=settings.max_examples)
        self._budget = _Budget(max_per_second, monotonic)

    @property
    def sides(self) -> list[Side]:
        """Both of them, or the only one."""
        return [self._shadow] if self._live is None else [self._shadow, self._live]

    async def take(self, outgoing: Outgoing) -> None:
        """Look at what would go out, and keep it back."""
        if outgoing.offsets:
            await self.look(outgoing.events, outgoing.offsets)
            outgoing.filtered.setdefault(SHADOW, []).extend(outgoing.offsets)
            outgoing.events, outgoing.offsets = Run(), []

    async def look(self, events: Sequence[Event], offsets: Sequence[int]) -> None:
        """Look at events as they were stored, as many as the rate allows."""
        number = self._budget.take(len(events))
        if number < len(events):
            self._count("not_compared", len(events) - number)
        for event, offset in zip(events[:number], offsets[:number], strict=True):
            await self._look(event, offset)
            await asyncio.sleep(0)  # others are not to wait for all of them

    def forget(self) -> None:
        """Forget the contents of events; what was counted stays."""
        self._examples.clear()
        self._recent.clear()

    def report(self) -> ShadowReport:
        """What was found."""
        shadow_why, live_why = self._whys
        return ShadowReport(
            id=self.id,
            of=self._settings.of or "",
            since=format_ms(self._since_ms),
            counts={name: self._counts[name] for name in OUTCOMES if self._counts[name]},
            paths=dict(self._paths.most_common()),
            shadow_why=dict(shadow_why.most_common()),
            live_why=dict(live_why.most_common()),
            examples=[one for examples in self._examples.values() for one in examples],
            recent=list(self._recent),
        )

    async def _look(self, event: Event, offset: int) -> None:
        here = await self._shadow.would(event, offset)
        there = None if self._live is None else await self._live.would(event, offset)
        found: list[Change] = []
        if there is None:
            outcome = "sendable" if here.sends else "withheld"
        elif here.sends and there.sends:
            found = self._changes(there.sends, here.sends)
            outcome = "different" if found else "same"
        elif here.sends:
            outcome = "only_shadow"
        else:
            outcome = "only_live" if there.sends else "neither"
        self._count(outcome)
        for whys, side in zip(self._whys, (here, there), strict=True):
            if side is not None and side.why:
                _count(whys, side.why)
        for path in {_places_left_out(change.path) for change in found}:
            _count(self._paths, path)
        self._keep(event, outcome, found, here, there)

    def _count(self, outcome: str, number: int = 1) -> None:
        self._counts[outcome] += number
        self._counted[outcome] += number

    def _changes(self, there: list[dict[str, Any]], here: list[dict[str, Any]]) -> list[Change]:
        if there == here and not self._settings.ignore:
            return []
        return [one for one in changes(there, here) if not self._ignored(one.path)]

    def _ignored(self, path: str) -> bool:
        path = _places_left_out(path)
        return any(
            path == ignored or path.startswith((f"{ignored}.", f"{ignored}["))
            for ignored in self._settings.ignore
        )

    def _keep(
        self, event: Event, outcome: str, found: list[Change], here: _Would, there: _Would | None
    ) -> None:
        """Keep an event as an example, if there is room for more of its kind."""
        differs = outcome in ("different", "only_shadow", "only_live", "withheld")
        examples = self._examples.setdefault(outcome, []) if differs else []
        wanted = differs and len(examples) < self._settings.max_examples
        if not wanted and not here.sends:
            return
        example = Example(
            format_ms(self._clock()),
            event.message_id,
            event.event or event.type,
            outcome,
            [_bounded_change(change) for change in found[:MOST_CHANGES]],
            _bounded(here.sends) if here.sends else None,
            here.why,
            _bounded(there.sends) if there is not None and there.sends else None,
            "" if there is None else there.why,
        )
        if wanted:
            examples.append(example)
        if here.sends:
            self._recent.append(example)


class _Budget:
    """So many a second, all of a second's at once if they come so."""

    def __init__(self, per_second: float, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._monotonic = monotonic
        self._left = per_second
        self._at = monotonic()

    def take(self, wanted: int) -> int:
        now = self._monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        number = min(wanted, int(self._left))
        self._left -= number
        return number


_PLACE = re.compile(r"\[\d+\]")


def _places_left_out(path: str) -> str:
    """``body.items[].name`` for ``[0].body.items[3].name``: the same for all requests."""
    return _PLACE.sub("[]", path).removeprefix("[]").removeprefix(".")


def _count(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MOST_NAMES else "other"] += 1


def _bounded(value: Any) -> Any:
    size = len(msgspec.json.encode(value))
    return value if size <= MOST_SHOWN_BYTES else f"({size:,} bytes)"


def _bounded_change(change: Change) -> Change:
    values = (v if v is msgspec.UNSET else _bounded(v) for v in (change.was, change.now))
    return Change(change.path, *values)
