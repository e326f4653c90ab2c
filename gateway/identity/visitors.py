"""Maps a userId to the anonymousId it first appeared with.

Groups with ``by = "user"`` go by the visitor of an event: its `anonymousId`, if it has one. Events
from servers mostly have only a userId. They must be in the same arm as the events of the same
person before login. So users are *linked* to visitors:

* An event with both ids links its userId to its `anonymousId`.
* An alias links its `userId` to its `previousId`, or to the visitor that the `previousId` is linked
  to.
* The first link of a user is final. Later ones are ignored.
* A link holds for all events of the same request, and for all events that come in later.

If an event has no `anonymousId` and its user is linked, the visitor is stored beside the event,
where no destination sees it (`Notes.visitor`). The visitor is decided once, at intake. So it is the
same for every destination, in a replay, after a restart and in every worker, and delivery needs no
lookup.

Links are learned after the intake transforms, from the ids as they are stored. If a mask hashes an
id, the hash is linked. Events of suppressed users are discarded before and link nothing.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap, Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Raw, json, structs

from gateway.components.store import Store
from gateway.config.model import Config
from gateway.config.settings import IdentityConfig
from gateway.errors import StateError
from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import EMPTY, Event, Notes
from gateway.events.subjects import Subjects
from gateway.identity.links import FILE_NAME, LinkFile, Mark

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["MOST_LEARNED_AGAIN", "Identity"]

MOST_LEARNED_AGAIN = 1_000_000
"""Limit for the events that are read from the queue at start to learn their links again: the newest
of those that were stored after the last write of links. Only a killed process leaves many."""

_GATHER_SECONDS = 0.005
_AGAIN_SECONDS = 1.0
_MARK_SECONDS = 10.0

_T = TypeVar("_T")


class _HasIds(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def anonymous_id(self) -> str | None: ...
    @property
    def previous_id(self) -> str | None: ...


class Identity:
    """The links of all users.

    Attributes:
        active: it has been started. Before that, callers skip it.
        refused: number of failed attempts to link a user, by reason: ``full`` or ``long_id``.
        changed: called after links were written, so that other workers call `read_soon`.

    Args:
        path: file with the links.
        shared: other workers write to the file too.
        shard: number of the shard whose queue the links are learned from.
    """

    def __init__(
        self,
        path: Path,
        config: IdentityConfig,
        log: FilteringBoundLogger,
        *,
        shared: bool = False,
        shard: int = 0,
    ) -> None:
        self.active = False
        self.refused: Counter[str] = Counter()
        self.changed: Callable[[], None] = lambda: None
        self._file = LinkFile(path)
        self._config = config
        self._log = log
        self._shared = shared
        self._shard = shard
        self._links: dict[str, str] = {}
        self._new: dict[str, str] = {}
        self._wanted = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._writer: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._queue_id = ""
        self._end: Callable[[], int] = lambda: 0
        self._marked = -1
        self._failing = False

    @classmethod
    def idle(cls, log: FilteringBoundLogger) -> Identity:
        """Returns an identity that is never active."""
        return cls(Path(), IdentityConfig(), log)

    @classmethod
    def of_shard(cls, config: Config, log: FilteringBoundLogger) -> Identity:
        """Returns the identity of the process that runs the config's shard."""
        shared = config.server.workers > 1
        path = config.shared_dir / FILE_NAME
        return cls(path, config.identity, log, shared=shared, shard=config.shard)

    def __len__(self) -> int:
        return len(self._links)

    # -- for each request ------------------------------------------------------

    def learn(self, request: Sequence[_HasIds], type_: str = "") -> dict[str, str]:
        """Learns the links of a request's events, which are about to be stored.

        Args:
            type_: type that the request's path dictates, or empty.

        Returns:
            Visitors by userId, for those events of the request that have no `anonymousId`.
        """
        new = self._new_links(request, type_, self.refused)
        if new:
            self._links |= new
            self._new |= new
            self._wanted.set()
        return _visitors(request, self._links)

    def preview(self, events: Sequence[Event], request: Sequence[_HasIds]) -> None:
        """Notes the visitors of events before they go through transforms, and learns nothing.

        Transforms may change ids. `learn_and_note` notes the visitors again afterwards.

        Args:
            request: all events of the same request.
        """
        own = self._new_links(request, "", Counter())
        _note(events, _visitors(events, ChainMap(own, self._links)))

    def learn_and_note(
        self, events: Sequence[Event], request: Sequence[_HasIds], type_: str = ""
    ) -> dict[str, str]:
        """Learns the links of a request, and notes the visitors of its decoded events.

        Args:
            events: the decoded events of the request.
            request, type_: as for `learn`.

        Returns:
            As `learn`.
        """
        visitors = self.learn(request, type_)
        _note(events, visitors)
        return visitors

    def _new_links(
        self, events: Iterable[_HasIds], type_: str, refused: Counter[str]
    ) -> dict[str, str]:
        """Returns the links that events make for users without one."""
        known, room = self._links, self._config.max_links - len(self._links)
        new: dict[str, str] = {}
        for event in events:
            user = event.user_id
            if not user or user in known or user in new:
                continue
            visitor = event.anonymous_id
            if (type_ or event.type) == "alias" and (before := event.previous_id or visitor):
                visitor = new.get(before) or known.get(before) or before
            if not visitor or visitor == user or visitor.isspace() or user.isspace():
                continue
            if max(len(user), len(visitor)) > self._config.max_id_chars:
                refused["long_id"] += 1
            elif len(new) >= room:
                refused["full"] += 1
            else:
                new[user] = visitor
        return new

    # -- the file ----------------------------------------------------------------

    async def start(self, store: Store) -> None:
        """Reads the links, learns again those that a crash has lost, and becomes active.

        Does nothing if it is started already.

        Args:
            store: the shard's queue, which is open.

        Raises:
            StateError: the file cannot be read.
        """
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="identity")
        try:
            await self._in_thread(self._load, store)
        except BaseException:
            await self._close()  # so that it can be started again once the file is repaired
            raise
        self._end = lambda: store.status().end
        await self._write()
        self.active = True
        self._writer = asyncio.create_task(self._write_forever(), name="identity")

    def read_links(self) -> None:
        """Reads the links from the file, for a dry run that learns and writes nothing.

        Raises:
            StateError: the file cannot be read.
        """
        if not self._file.path.exists():
            return
        self._file.open()
        try:
            self._links = self._file.read().links
            self.active = True
        finally:
            self._file.close()

    async def stop(self) -> None:
        """Writes the remaining links, and closes the file. Does nothing if it is not started."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.cancel()
            await asyncio.wait({writer})
            await self._write()
        if self._thread is not None:
            await self._close()

    def read_soon(self) -> None:
        """Has the file read soon, after other workers have written to it."""
        self._wanted.set()

    async def erase(self, subjects: Subjects) -> int:
        """Forgets all links of the subjects, whether they are users or visitors.

        Afterwards no event is stored with such a visitor. It works without `start` too.

        Returns:
            Number of forgotten links.

        Raises:
            StateError: the file cannot be written.
        """
        if self._thread is None:
            return await asyncio.to_thread(_erase_from, self._file.path, subjects)
        # A failed write puts its links back. So no write may be under way during an erasure.
        async with self._writing:
            await self._write_now()
            found = await self._in_thread(self._file.erase, subjects)
            gone = [user for user, v in self._new.items() if _is_of(subjects, user, v)]
            for user in gone:
                del self._new[user]
            await self._read()
        self.changed()
        return found + len(gone)

    def _load(self, store: Store) -> None:
        self._file.open()
        self._links = self._file.read().links
        status, self._queue_id = store.status(), store.identity()
        mark = self._file.mark(self._shard)
        if mark is None:
            return  # the first start with identity: stored events stay without visitors
        first = mark.offset if mark.queue_id == self._queue_id else status.first
        reader = store.reader(max(first, status.end - MOST_LEARNED_AGAIN))
        try:
            while (frame := reader.next()) is not None:
                self.learn(stored_events(frame.payload))
        finally:
            reader.close()

    async def _write_forever(self) -> None:
        while True:
            seconds = _AGAIN_SECONDS if self._shared or self._new else _MARK_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wanted.wait()
                # Wait a moment, to write links of simultaneous requests together.
                await asyncio.sleep(_GATHER_SECONDS)
            self._wanted.clear()
            await self._write()

    async def _write(self) -> None:
        """Writes new links; if the file is shared, also reads those of other workers."""
        async with self._writing:
            await self._write_now()

    async def _write_now(self) -> None:
        # Links are learned before events are stored, so all events before this offset are covered.
        end = self._end()
        new, self._new = self._new, {}
        try:
            if await self._in_thread(self._file.reopen_if_moved):
                new = self._links | new  # the new file has none
                self._marked = -1
            if new or end != self._marked:
                mark = Mark(self._queue_id, end)
                await self._in_thread(self._file.add, list(new.items()), self._shard, mark)
                self._marked = end
            if self._shared:
                await self._read()
        except StateError as error:
            self._new = new | self._new
            if not self._failing:
                self._log.error("cannot write links of users to visitors", error=str(error))
            self._failing = True
            return
        except asyncio.CancelledError:
            self._new = new | self._new  # they may or may not have been written
            raise
        self._failing = False
        if new:
            self.changed()

    async def _read(self) -> None:
        new_links = await self._in_thread(self._file.read)
        # Links of the file are older, so they win.
        if new_links.complete:
            self._links = new_links.links
            for user, visitor in self._new.items():
                new_links.links.setdefault(user, visitor)
        elif new_links.links:
            self._links |= new_links.links

    async def _close(self) -> None:
        await self._in_thread(self._file.close)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()

    async def _in_thread(self, work: Callable[..., _T], *args: object) -> _T:
        assert self._thread is not None
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)


def _visitors(events: Iterable[_HasIds], links: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for event in events:
        user = event.user_id
        if user in links and user and not (event.anonymous_id or "").strip():
            found[user] = links[user]
    return found


def _note(events: Iterable[Event], visitors: Mapping[str, str]) -> None:
    """Notes the visitors of events, and removes a note that no longer holds."""
    for event in events:
        alone = event.anonymous_id is None
        visitor = visitors.get(event.user_id or "") if alone else None
        if visitor is not None:
            add_notes(event, (), visitor=visitor)
        elif event.raw_notes is not EMPTY and event.notes.visitor is not None:
            kept = structs.replace(event.notes, visitor=None)
            event.raw_notes = Raw(json.encode(kept)) if kept != Notes() else EMPTY


def _is_of(subjects: Subjects, user: str, visitor: str) -> bool:
    """Tells whether `LinkFile.erase` removes a link."""
    return user in subjects.users or visitor in subjects.users or visitor in subjects.anonymous


def _erase_from(path: Path, subjects: Subjects) -> int:
    if not path.exists():
        return 0
    file = LinkFile(path)
    file.open()
    try:
        return file.erase(subjects)
    finally:
        file.close()
