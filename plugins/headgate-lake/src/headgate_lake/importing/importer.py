"""Imports files into a lake, each event once.

The same file can be imported again after a kill or by mistake: an event whose source and message id
are in the lake is not added once more. A record without an id gets the same one each time
(`headgate_lake.importing.ids`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Record
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from gateway import Batch, Event, GatewayError, OfflineIntake, format_ms
from headgate_lake.config import LakeConfig
from headgate_lake.failures import explained
from headgate_lake.importing.formats import FORMATS, LOCAL_NUMBERS, Fields, detected
from headgate_lake.importing.ids import Ids
from headgate_lake.importing.mapping import Mapping, value_at
from headgate_lake.importing.reading import Bad, DamagedFile, records_of
from headgate_lake.storage import Storage
from headgate_lake.upkeep import keep_up
from headgate_lake.writer import LakeWriter

__all__ = ["BATCH_EVENTS", "Importer", "Refuse", "Summary"]

BATCH_EVENTS = 20_000
"""Events that are written together."""

_DAY_MS = 86_400_000
_MOST_AHEAD_MS = _DAY_MS

Refuse: TypeAlias = Callable[[str, str, bytes], None]
"""Is given place, reason and text of each record that is not taken."""


class _Early(Exception):
    """A record before the time that the import begins with."""


class Summary(Struct):
    """The result of an import.

    ``read`` is the sum of those taken, known, discarded, refused and early.

    Attributes:
        known: events that were in the lake already, or earlier in the files.
        discarded: events that intake discards, such as those of suppressed users, by code.
        refused: records that are no events, by reason.
        mended: records with bytes that are no UTF-8, which were replaced; they count elsewhere too.
        damaged: why files could not be read to their end. What stands before counts.
        broken: files of the lake that could not be read and were set aside, with the reason.
        early: records before the time that the import begins with.
        old: events that the lake's `retention_days` will remove; they are among those taken.
    """

    source: str
    read: int = 0
    taken: int = 0
    known: int = 0
    discarded: dict[str, int] = {}
    refused: dict[str, int] = {}
    mended: int = 0
    damaged: list[str] = []
    broken: list[tuple[str, str]] = []
    early: int = 0
    old: int = 0


class Importer:
    """Imports files into one lake.

    Args:
        storage: of the lake.
        source: id of the source that the events get.
        format_: a name of `FORMATS`; empty to tell it by the records.
        mapping: of columns or keys of the records to fields, and how their times are written.
        from_ms: events before it are left out.
        owner: names the gateway of the lake, which may run.
        progress: is given the number of records read so far.
    """

    def __init__(
        self,
        storage: Storage,
        config: LakeConfig,
        intake: OfflineIntake,
        clock: Callable[[], int],
        *,
        source: str,
        owner: str,
        format_: str = "",
        mapping: Mapping | None = None,
        from_ms: int | None = None,
    ) -> None:
        self._storage = storage
        self._folder = storage.root
        self._config = config
        self._intake = intake
        self._clock = clock
        self._format = format_
        self._mapping = mapping or Mapping()
        self._from_ms = from_ms
        self._columns_seen = False
        self._owner = owner
        self._ids = Ids()
        self.summary = Summary(source)
        self._codes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def preview(self, paths: list[Path], events: int) -> Iterator[dict[str, Any]]:
        """Yields the first events as the lake would get them, and writes nothing."""
        left = events
        for path in paths:
            for _, record, text, _ in records_of(path):
                if left <= 0:
                    return
                left -= 1
                try:
                    fields, _ = self._fields(record)
                    self._identify([(fields, text)])
                except Bad as error:
                    yield {"refused": str(error)}
                    continue
                except _Early:
                    yield {"refused": "a time before --from"}
                    continue
                (one,) = self._taken([fields])
                yield one.to_dict() if isinstance(one, Event) else {"discarded": one}

    def check_retention(self, paths: list[Path]) -> None:
        """Reads files, and writes nothing.

        Raises:
            GatewayError: the lake would remove some of the events, as they are too old.
        """
        oldest_ms = self._oldest_ms()
        if oldest_ms is None:
            return
        old, first_ms = 0, oldest_ms
        for path in paths:
            with suppress(DamagedFile):  # `run` tells it
                for record in records_of(path):
                    with suppress(Bad, _Early):
                        _, moment = self._fields(record.fields)
                        old += moment < oldest_ms
                        first_ms = min(first_ms, moment)
        if old:
            raise GatewayError(
                f"{old:,} events, from {format_ms(first_ms)[:10]}, are older than the lake's "
                f"retention_days = {self._config.retention_days}, so it would delete them. Nothing "
                "was written. To keep them, set retention_days = 0 in the table of the lake; to "
                f"leave them out, give --from {format_ms(oldest_ms + _DAY_MS)[:10]}; to load them "
                "all the same, give --yes."
            )

    def run(self, paths: list[Path], refuse: Refuse, progress: Callable[[int], None]) -> Summary:
        """Imports files, and returns what became of their records.

        Raises:
            GatewayError: the lake or the options cannot be used. What was written until then stays.
        """
        writer = LakeWriter(self._storage, self._config.memory_bytes, self._clock)
        owned = -1
        try:
            owned = explained(self._folder, lambda: writer.open().folder.own(self._owner))
            for path in paths:
                self._import(path, writer, refuse, progress)
        finally:
            writer.close()
            self._ids.close()
            if owned >= 0:
                os.close(owned)
            self.summary.discarded = dict(self._codes)
            self.summary.refused = dict(self._reasons)
        return self.summary

    def _import(
        self, path: Path, writer: LakeWriter, refuse: Refuse, progress: Callable[[int], None]
    ) -> None:
        chunk: list[tuple[str, Fields, bytes]] = []
        try:
            for place, record, text, mended in records_of(path):
                self.summary.read += 1
                self.summary.mended += mended
                try:
                    chunk.append((place, self._fields(record)[0], text))
                except _Early:
                    self.summary.early += 1
                except Bad as error:
                    self._reasons[str(error)] += 1
                    refuse(place, str(error), text)
                if len(chunk) == BATCH_EVENTS:
                    self._write(chunk, writer, refuse)
                    chunk = []
                    progress(self.summary.read)
        except DamagedFile as error:
            self.summary.damaged.append(str(error))
        if chunk:
            self._write(chunk, writer, refuse)
        progress(self.summary.read)

    def _write(
        self, chunk: list[tuple[str, Fields, bytes]], writer: LakeWriter, refuse: Refuse
    ) -> None:
        self._identify((fields, text) for _, fields, text in chunk)
        taken = self._taken([fields for _, fields, _ in chunk])
        events: list[Event] = []
        for (place, _, text), one in zip(chunk, taken, strict=True):
            if isinstance(one, Event):
                events.append(one)
            else:
                self._codes[one] += 1
                refuse(place, one, text)
        if not events:
            return
        queue_id = f"import:{self.summary.source}"

        def write() -> int:
            first = writer.open().manifest.cursor(queue_id)
            batch = Batch(events, range(first, first + len(events)), queue_id=queue_id)
            wrote = writer.write(batch, by_id=True)
            self.summary.taken += wrote.added
            self.summary.known += wrote.known
            self.summary.broken += wrote.broken
            return wrote.most_files

        if explained(self._folder, write) >= self._config.merge_files:
            explained(self._folder, lambda: keep_up(self._storage, self._config, self._clock))
        if (oldest_ms := self._oldest_ms()) is not None:
            oldest = format_ms(oldest_ms)
            self.summary.old += sum((event.timestamp or "") < oldest for event in events)

    def _oldest_ms(self) -> int | None:
        """Returns the time before which the lake removes events."""
        days = self._config.retention_days
        return self._clock() - days * _DAY_MS if days else None

    def _identify(self, chunk: Iterable[tuple[Fields, bytes]]) -> None:
        """Gives those of the records that have no message id one."""
        without = [(fields, text) for fields, text in chunk if not fields.get("messageId")]
        # Two imports of one table may make different events of its rows.
        texts = [
            f"{fields.get('type')}:{fields.get('event')}:".encode() + text
            for fields, text in without
        ]
        for (fields, _), message_id in zip(without, self._ids.of(texts), strict=True):
            fields["messageId"] = message_id

    def _fields(self, record: Record[str, Any] | Bad) -> tuple[Fields, int]:
        """Returns the fields of a record's event, and its time."""
        if isinstance(record, Bad):
            raise record
        if self._mapping.fields:
            fields = self._mapped(record)
        else:
            name = self._format or detected(record)
            if name is None:
                raise GatewayError(
                    "the format cannot be told by the first record; name it with --format, or its "
                    "columns with --map userId=COLUMN"
                )
            self._format = name
            fields = FORMATS[name](record)
        local = self._format in LOCAL_NUMBERS
        moment = self._mapping.moment_ms(fields.get("timestamp"), local_numbers=local)
        if moment is None:
            raise Bad("no time, or one that cannot be read")
        if moment > self._clock() + _MOST_AHEAD_MS:
            raise Bad("a time in the future")
        if self._from_ms is not None and moment < self._from_ms:
            raise _Early
        fields["timestamp"] = format_ms(moment)
        if "receivedAt" in fields:
            fields["receivedAt"] = self._mapping.moment_ms(fields["receivedAt"])
        fields.pop("sentAt", None)  # the client's clock was corrected before the export
        return fields, moment

    def _mapped(self, record: Record[str, Any]) -> Fields:
        """Makes fields of the columns that the user names; the other columns are properties."""
        fields: Fields = {"type": "track"}
        used = set()
        for field, column in self._mapping.fields.items():
            if column.startswith("="):
                fields[field] = column[1:]
                continue
            try:
                fields[field] = value_at(record, column)
            except Bad as error:
                if self._columns_seen:  # keys of JSON may be missing here and there
                    raise
                listed = ", ".join(record)
                raise GatewayError(f"there is {error}; there are: {listed}") from None
            used.add(column)
        self._columns_seen = True
        properties = {
            key: value for key, value in record.items() if key not in used and value != ""
        }
        body = "traits" if fields["type"] in ("identify", "group") else "properties"
        own = {
            field.removeprefix("properties."): fields.pop(field)
            for field in list(fields)
            if field.startswith("properties.")
        }
        return fields | {body: properties | own}

    def _taken(self, chunk: list[Fields]) -> list[Event | str]:
        now_ms = self._clock()
        received = [fields.pop("receivedAt", None) for fields in chunk]
        texts = [
            msgspec.json.encode({k: v for k, v in fields.items() if v not in (None, "")})
            for fields in chunk
        ]
        taken = self._intake.take(self.summary.source, texts, now_ms)
        for one, moment in zip(taken, received, strict=True):
            if isinstance(one, Event):
                # The time of the import says nothing about the event.
                one.received_at = (
                    one.timestamp if moment is None else format_ms(min(moment, now_ms))
                )
        return taken
