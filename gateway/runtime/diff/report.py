"""What a comparison of two configs found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from gateway.events.json_diff import Change

__all__ = [
    "FAIL_ON",
    "MOST_CHANGES",
    "MOST_EXAMPLES",
    "MOST_PATHS",
    "Example",
    "Report",
    "Tally",
    "failures",
]

FAIL_ON = ("dropped", "sent", "changed", "intake", "added", "removed")
"""What may be called a failure."""

MOST_EXAMPLES = 3
"""Examples of each kind, for each destination."""

MOST_CHANGES = 20
"""Changes that are shown of an example."""

MOST_PATHS = 1000
"""Different paths that are counted, for each destination."""

_PLACE = re.compile(r"\[\d+\]")


class Example(Struct, frozen=True):
    """One event.

    Attributes:
        kind: ``dropped``, ``sent`` or ``changed``.
        name: of a track event, or its type.
        detail: the rule or reason of the side that does not send it.
        changes: of what is sent.
    """

    kind: str
    message_id: str
    name: str
    detail: str = ""
    changes: list[Change] = []


class Tally(Struct):
    """What is different for one destination, or in what is stored.

    Attributes:
        status: ``compared``; ``same``, where nothing can differ; ``added`` or ``removed``.
        unchanged: events that fare alike: the same is sent of them, or neither config sends them.
        changed: of which something else is sent.
        masked: of these, how many differ in nothing but secrets.
        dropped: that are no longer sent, by the new config's reason.
        sent: that are sent now, by the old config's reason for not sending them.
        paths: at which what is sent differs, and in how many events, of the `looked_at` first.
    """

    id: str
    status: str = "compared"
    unchanged: int = 0
    changed: int = 0
    masked: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    paths: dict[str, int] = field(default_factory=dict)
    looked_at: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether anything is."""
        return bool(self.changed or self.dropped or self.sent)

    def wants(self, kind: str) -> bool:
        """Whether there is room for another example of a kind."""
        return sum(example.kind == kind for example in self.examples) < MOST_EXAMPLES

    def count_paths(self, found: Sequence[Change]) -> None:
        """Count the paths at which an event differs."""
        self.looked_at += 1
        for path in dict.fromkeys(_PLACE.sub("[]", change.path) for change in found):
            if path in self.paths or len(self.paths) < MOST_PATHS:
                self.paths[path] = self.paths.get(path, 0) + 1

    def add(self, other: Tally) -> None:
        """Add what was found in other events."""
        self.unchanged += other.unchanged
        self.changed += other.changed
        self.masked += other.masked
        self.looked_at += other.looked_at
        for mine, more in (
            (self.dropped, other.dropped),
            (self.sent, other.sent),
            (self.paths, other.paths),
        ):
            for key, number in more.items():
                mine[key] = mine.get(key, 0) + number
        for example in other.examples:
            if self.wants(example.kind):
                self.examples.append(example)


class Report(Struct):
    """All that was found.

    Attributes:
        events: that were compared.
        unreadable: lines of a file that are no events.
        stored: whether they come from the queue, and had passed intake before.
        intake: what intake does differently. Its `sent` are events that are stored now and were
            not, its `dropped` those that no longer are.
        notices: what is to be known to read the rest rightly.
    """

    events: int
    unreadable: int
    stored: bool
    intake: Tally
    destinations: list[Tally]
    notices: list[str]


def failures(report: Report, kinds: Iterable[str]) -> list[str]:
    """Which of `FAIL_ON` there are, of these kinds."""
    tallies = report.destinations
    found = {
        "dropped": any(one.dropped for one in tallies),
        "sent": any(one.sent for one in tallies),
        "changed": any(one.changed for one in tallies),
        "intake": report.intake.differs,
        "added": any(one.status == "added" for one in tallies),
        "removed": any(one.status == "removed" for one in tallies),
    }
    return [kind for kind in FAIL_ON if kind in set(kinds) and found[kind]]
