"""Lists the kinds of personal data in retained events, by source, event and path.

Operators write masking rules by it: red values do not belong in events, yellow ones are personal,
green ones are masked. Only a masked sample of a value is kept, and memory has a bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from gateway.components.store import Frame
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event
from gateway.privacy.detectors.detect import KINDS, Detector
from gateway.privacy.detectors.disguise import MASKED, disguise
from gateway.privacy.detectors.ip_addresses import is_coarse
from gateway.privacy.detectors.prescan import Prescan, squeeze
from gateway.queue.offline import QueueFolder

__all__ = ["MAX_ROWS", "Colour", "Inventory", "Report", "Row", "scan_frames", "scan_queues"]

MAX_ROWS = 5_000
"""Number of rows; findings beyond it are counted together."""

Colour: TypeAlias = Literal["red", "yellow", "green"]

_RED = frozenset({"card", "iban", "national_id", "secret", "password"})
_LONGEST_SAMPLE = 60
_LONGEST_PATH = 200
_HASH = re.compile(r"(?:[0-9A-Za-z_-]{1,16}\.)?[0-9a-f]{64}")
_NAMES: dict[bytes, str] = {
    squeeze(name): kind
    for kind, names in {
        "password": "password passwd secret api_key access_token refresh_token authorization cvc",
        "name": "first_name middle_name last_name full_name surname given_name family_name "
        "maiden_name display_name username nickname customer_name contact_name "
        "recipient_name cardholder_name",
        "birth": "date_of_birth birthday birthdate dob",
        "address": "address street street_address address_line address_line1 address_line2 "
        "house_number home_address postal_address shipping_address billing_address "
        "delivery_address",
        "phone": "phone phone_number telephone mobile_number",
        "national_id": "ssn tax_id passport_number national_id dni nif codice_fiscale pesel bsn",
        "iban": "iban account_number bank_account",
        "card": "card_number credit_card credit_card_number",
    }.items()
    for name in names.split()
}
_PEOPLE = frozenset({b"traits", b"user", b"customer", b"contact", b"person", b"recipient"})
"""Keys of people, as squeezed; a ``name`` in their values is a person's."""

_MENTIONS_PEOPLE = re.compile(rb'"(?:%b)"' % b"|".join(sorted(_PEOPLE)), re.IGNORECASE)
_SKIPPED = frozenset(
    {"messageId", "type", "timestamp", "originalTimestamp", "sentAt", "receivedAt", "sourceId"}
)


class Row(Struct, frozen=True):
    """The findings of one kind at one place.

    Attributes:
        event: name of a track event, or the type of any other.
        path: keys, and ``[]`` for the elements of a list.
        kind: as in `detect`; or ``name``, ``birth``, ``address`` and ``password``, by the key of
            the value; or ``masked``.
        count: number of values.
        sample: one of them, masked.
    """

    colour: Colour
    source: str
    event: str
    path: str
    kind: str
    count: int
    sample: str


class Report(Struct, frozen=True):
    """The result of a scan.

    Attributes:
        events: number of events.
        rows: red ones first, and those with most values first.
        beyond: number of values that found no room for another row.
    """

    events: int
    rows: list[Row]
    beyond: int


class Inventory:
    """Collects findings."""

    def __init__(self) -> None:
        self.events = 0
        self._beyond = 0
        self._counts: dict[tuple[str, str, str, str], int] = {}
        self._samples: dict[tuple[str, str, str, str], str] = {}
        self._detector = Detector(KINDS)
        self._prescan = Prescan(KINDS, list(_NAMES), {}, coarse_ips=True)

    def add(self, events: Iterable[Event]) -> None:
        """Collects the findings in events."""
        for event in events:
            self.events += 1
            data = event.to_json()
            if (
                self._prescan.clean(data)
                and MASKED.encode() not in data
                and not _MENTIONS_PEOPLE.search(data)
            ):
                continue
            name = self._masked(event.event or event.type)
            for key, value in json.loads(data).items():
                if key not in _SKIPPED:
                    self._collect(event.source_id, name, self._masked(key), key, value)

    def report(self) -> Report:
        """Returns the findings so far."""
        rows = [
            Row(_colour_of(kind), source, event, path, kind, count, self._samples[place])
            for place, count in self._counts.items()
            for source, event, path, kind in [place]
        ]
        order = {"red": 0, "yellow": 1, "green": 2}
        rows.sort(key=lambda row: (order[row.colour], -row.count, row.source, row.event, row.path))
        return Report(self.events, rows, self._beyond)

    def _collect(
        self, source: str, event: str, path: str, key: str, value: Any, within: str | None = None
    ) -> None:
        """Counts the findings in a value.

        Args:
            within: the kind of all that is here, by the key of a value around it.
        """
        squeezed = squeeze(key)
        if isinstance(value, dict):
            if _NAMES.get(squeezed) == "address":
                within = "address"
            people = squeezed in _PEOPLE
            for inner, item in value.items():
                shown = self._masked(inner)
                below = f"{path}.{shown}"[:_LONGEST_PATH]
                if shown != inner:
                    self._texts(source, event, below, inner)
                kind = "name" if people and squeeze(inner) == b"name" else within
                self._collect(source, event, below, inner, item, kind)
        elif isinstance(value, list):
            for item in value:
                self._collect(source, event, f"{path}[]"[:_LONGEST_PATH], key, item, within)
        elif isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            text = str(value)
            if not self._texts(source, event, path, text):
                found = _NAMES.get(squeezed, within)
                if found is not None:
                    self._count(source, event, path, found, MASKED)

    def _texts(self, source: str, event: str, path: str, text: str) -> bool:
        """Counts the findings in a text; True if there are any."""
        found = False
        for item in self._detector.find(text):
            piece = text[item.start : item.end]
            if item.kind != "ip" or not is_coarse(piece):
                self._count(source, event, path, item.kind, disguise(item.kind, piece))
                found = True
        if not found and (MASKED in text or _HASH.fullmatch(text)):
            self._count(source, event, path, "masked", text)
            found = True
        return found

    def _count(self, source: str, event: str, path: str, kind: str, sample: str) -> None:
        place = (source, event, path, kind)
        if place in self._counts:
            self._counts[place] += 1
        elif len(self._counts) < MAX_ROWS:
            self._counts[place] = 1
            self._samples[place] = sample[:_LONGEST_SAMPLE]
        else:
            self._beyond += 1

    def _masked(self, text: str) -> str:
        for item in reversed(self._detector.find(text)):
            text = text[: item.start] + MASKED + text[item.end :]
        return text[:_LONGEST_PATH]


def _colour_of(kind: str) -> Colour:
    if kind == "masked":
        return "green"
    return "red" if kind in _RED else "yellow"


def scan_frames(frames: Iterable[Frame], since_ms: int = 0, source: str | None = None) -> Report:
    """Scans the events of frames.

    Args:
        since_ms: skip frames that were stored before; milliseconds since 1970.
        source: scan only the events of this source.
    """
    inventory = Inventory()
    for frame in frames:
        if frame.time_ms >= since_ms:
            events = stored_events(frame.payload)
            inventory.add(e for e in events if source is None or e.source_id == source)
    return inventory.report()


def scan_queues(
    queues: Iterable[QueueFolder],
    since_ms: int = 0,
    source: str | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Report:
    """Scans all events of queues on disk.

    Args:
        progress: called with the bytes of each segment that has been read.
    """

    def frames() -> Iterator[Frame]:
        for queue in queues:
            for segment in queue.segments:
                if segment.last_ms >= since_ms:
                    yield from queue.frames(segment)
                progress(segment.size)

    return scan_frames(frames(), since_ms, source)
