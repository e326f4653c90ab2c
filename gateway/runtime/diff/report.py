"""The result of a comparison of two configs."""

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
"""The kinds of difference that a caller may treat as a failure."""

MOST_EXAMPLES = 3
"""Number of examples of each kind, for each destination."""

MOST_CHANGES = 20
"""Number of changes that an example shows."""

MOST_PATHS = 1000
"""Number of paths that are counted, for each destination."""

_PLACE = re.compile(r"\[\d+\]")


class Example(Struct, frozen=True):
    """An event that differs.

    Attributes:
        kind: ``dropped``, ``sent`` or ``changed``.
        name: of a track event, or its type.
        detail: the rule or reason of the side that does not send it.
        changes: in what is sent.
    """

    kind: str
    message_id: str
    name: str
    detail: str = ""
    changes: list[Change] = []


class Tally(Struct):
    """The differences at one destination, or in what is stored. The numbers are events.

    Attributes:
        status: ``compared``; ``same``, where nothing can differ; ``added`` or ``removed``.
        unchanged: both configs send the same, or neither sends anything.
        changed: both send something, and it differs.
        masked: the part of `changed` that differs in secrets only.
        dropped: no longer sent, by the new config's reason.
        sent: sent now, by the old config's reason for not sending them.
        paths: events that differ at each path, among the first `looked_at` ones.
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
        """True if anything is different."""
        return bool(self.changed or self.dropped or self.sent)

    def wants(self, kind: str) -> bool:
        """Tells whether there is room for another example of a kind."""
        return sum(example.kind == kind for example in self.examples) < MOST_EXAMPLES

    def count_paths(self, found: Sequence[Change]) -> None:
        """Counts the paths at which an event differs."""
        self.looked_at += 1
        for path in dict.fromkeys(_PLACE.sub("[]", change.path) for change in found):
            if path in self.paths or len(self.paths) < MOST_PATHS:
                self.paths[path] = self.paths.get(path, 0) + 1

    def add(self, other: Tally) -> None:
        """Adds the result for other events."""
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
    """The result of a comparison.

    Attributes:
        events: number of compared events.
        unreadable: number of lines of a file that are no events.
        stored: the events come from the queue, and had passed intake before.
        intake: the differences at intake. Its `sent` are events that only the new config stores,
            its `dropped` those that only the old one stores.
        notices: limits of the comparison, in words.
    """

    events: int
    unreadable: int
    stored: bool
    intake: Tally
    destinations: list[Tally]
    notices: list[str]


def failures(report: Report, kinds: Iterable[str]) -> list[str]:
    """Returns which of these kinds of difference the report has, in the order of `FAIL_ON`."""
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
