"""Whose event is it, when it has only a userId? The visitor's whom that user was first seen as.

Groups with ``by = "user"`` ask for the visitor: the `anonymousId`, where an event has one. Events
of servers mostly have only a userId; so that they are in the arm in which the same person was
before he was known, users are *linked* to visitors:

* An event with both ids links its user to that `anonymousId`; an alias links its `userId` to its
  `previousId`, or to the visitor whom that is linked to.
* The first link of a user holds for good. Others change nothing, neither for him nor for others.
* Whom a request links is linked for all of its events, and for all that are taken in afterwards.

An event with only the id of a user who is linked is stored with its visitor beside it, where no
destination sees him (`Warnings.visitor`). So whose it is was decided once, when it was taken in: it
is the same for each destination however late, for a replay, after a restart and in every worker,
and nothing is looked up at delivery.

Links are learned from ids as they are stored, after the intake transforms: what a mask has hashed
is linked as a hash. Suppressed users' events are discarded before.
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
from gateway.events.event import EMPTY, Event, Warnings
from gateway.events.subjects import Subjects
from gateway.identity.links import FILE_NAME, LinkFile, Mark

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["MOST_LEARNED_AGAIN", "Identity"]

MOST_LEARNED_AGAIN = 1_000_000
"""Events of the queue that are looked at for links at a start, at most: the newest of those that
came since links were last written down. Unless the process was killed there are next to none."""

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
        active: whether it has been started; else there is nothing to ask it.
        refused: users who could not be linked, each time that it was tried, by reason: ``full``, or
            ``long_id``.
        changed: called when links were written down; other workers are to `look`.

    Args:
        path: of the file with the links.
        shared: whether other workers write to it too.
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
        """One that is not there to be started."""
        return cls(Path(), IdentityConfig(), log)

    @classmethod
    def of_shard(cls, config: Config, log: FilteringBoundLogger) -> Identity:
        """That of the gateway that runs a shard."""
        shared = config.server.workers > 1
        path = config.shared_dir / FILE_NAME
        return cls(path, config.identity, log, shared=shared, shard=config.shard)

    def __len__(self) -> int:
        return len(self._links)

    # -- the road of an event --------------------------------------------------

    def learn(self, request: Sequence[_HasIds], type_: str = "") -> dict[str, str]:
        """Learn the links of a request's events, which are about to be stored.

        Args:
            type_: what the request's path says that they are, or empty.

        Returns:
            The visitors of the users who have events without an `anonymousId` among these.
        """
        new = self._made(request, type_, self.refused)
        if new:
            self._links |= new
            self._new |= new
            self._wanted.set()
        return _visitors(request, self._links)

    def preview(self, events: Sequence[Event], request: Sequence[_HasIds]) -> None:
        """Note the visitors of events that are yet to pass through transforms; learn nothing.

        Transforms may change ids: `learn_and_note` notes the visitors anew.

        Args:
            request: all of it that they are of.
        """
        own = self._made(request, "", Counter())
        _note(events, _visitors(events, ChainMap(own, self._links)))

    def learn_and_note(
        self, events: Sequence[Event], request: Sequence[_HasIds], type_: str = ""
    ) -> dict[str, str]:
        """Learn from a request's events, and note the visitors of those that are made.

        Args:
            request, type_: as of `learn`, whose result this returns.
        """
        visitors = self.learn(request, type_)
        _note(events, visitors)
        return visitors

    def _made(self, events: Iterable[_HasIds], type_: str, refused: Counter[str]) -> dict[str, str]:
        """The links that events make; those of users who have one already are none."""
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
        """Read the links, and learn again what was not written down before a crash.

        From then on it is active. Safe twice.

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
            await self._close()  # so that it can be started once the file is mended
            raise
        self._end = lambda: store.status().end
        await self._write()
        self.active = True
        self._writer = asyncio.create_task(self._write_forever(), name="identity")

    def glance(self) -> None:
        """Read the links as they are in the file, for somebody who learns and writes nothing.

        Raises:
            StateError: the file cannot be read.
        """
        if not self._file.path.exists():
            return
        self._file.open()
        try:
            self._links = self._file.news().links
            self.active = True
        finally:
            self._file.close()

    async def stop(self) -> None:
        """Write down what is not yet. Safe twice and without `start`."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.cancel()
            await asyncio.wait({writer})
            await self._write()
        if self._thread is not None:
            await self._close()

    def look(self) -> None:
        """Others have written to the file: read it soon."""
        self._wanted.set()

    async def erase(self, subjects: Subjects) -> int:
        """Forget the links of users, and those to visitors; returns how many there were.

        Afterwards no event is stored with such a visitor. It needs no `start`.

        Raises:
            StateError: the file cannot be written.
        """
        if self._thread is None:
            return await asyncio.to_thread(_erase_from, self._file.path, subjects)
        # A write that fails puts back what it could not write: none may be under way.
        async with self._writing:
            await self._write_now()
            found = await self._in_thread(self._file.erase, subjects)
            gone = [user for user, v in self._new.items() if _names(subjects, user, v)]
            for user in gone:
                del self._new[user]
            await self._read()
        self.changed()
        return found + len(gone)

    def _load(self, store: Store) -> None:
        self._file.open()
        self._links = self._file.news().links
        status, self._queue_id = store.status(), store.identity()
        mark = self._file.mark(self._shard)
        if mark is None:
            return  # nothing was ever learned here: what is stored already has no visitors
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
                # What comes at the same time is written at once.
                await asyncio.sleep(_GATHER_SECONDS)
            self._wanted.clear()
            await self._write()

    async def _write(self) -> None:
        """Write down what was learned; where others write too, read what they did."""
        async with self._writing:
            await self._write_now()

    async def _write_now(self) -> None:
        # All events before this have been learned from, for that comes before they are stored.
        end = self._end()
        new, self._new = self._new, {}
        try:
            if new or end != self._marked:
                mark = Mark(self._queue_id, end)
                await self._in_thread(self._file.add, list(new.items()), self._shard, mark)
                self._marked = end
            if self._shared:
                await self._read()
        except StateError as error:
            self._new = new | self._new
            if not self._failing:
                self._log.error("links of users cannot be written down", error=str(error))
            self._failing = True
            return
        except asyncio.CancelledError:
            self._new = new | self._new  # whether they were written is not known
            raise
        self._failing = False
        if new:
            self.changed()

    async def _read(self) -> None:
        news = await self._in_thread(self._file.news)
        # Who is in the file came first.
        if news.anew:
            self._links = news.links
            for user, visitor in self._new.items():
                news.links.setdefault(user, visitor)
        elif news.links:
            self._links |= news.links

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
    """Write visitors into the notes of events; those of others are without one afterwards."""
    for event in events:
        alone = event.anonymous_id is None
        visitor = visitors.get(event.user_id or "") if alone else None
        if visitor is not None:
            add_notes(event, (), visitor=visitor)
        elif event.raw_notes is not EMPTY and event.notes.visitor is not None:
            kept = structs.replace(event.notes, visitor=None)
            event.raw_notes = Raw(json.encode(kept)) if kept != Warnings() else EMPTY


def _names(subjects: Subjects, user: str, visitor: str) -> bool:
    """Whether a link is one that `LinkFile.erase` takes out."""
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
