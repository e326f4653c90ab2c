"""Destination ``profiles``: links the identifiers of events to people.

A thread does all the work. Facts and the queue's offset are stored in one transaction, and a set of
identifiers counts once, whatever is delivered twice or out of order.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway import Batch, Context, Destination, Erasure, Misconfigured, Subjects
from headgate_profiles.api.reading import ProfileReader
from headgate_profiles.config import ProfilesConfig, graph_path, rules_of
from headgate_profiles.counted import counted
from headgate_profiles.failures import explained
from headgate_profiles.identifiers import Identifier, Reader, clean
from headgate_profiles.learner import Known, Learner, facts_of
from headgate_profiles.profile import Schema
from headgate_profiles.store import Store
from headgate_profiles.store.erase import Erased, erase
from headgate_profiles.traits.keeping import Keeper
from headgate_profiles.traits.observe import Observer

__all__ = ["ProfilesDestination"]

_T = TypeVar("_T")


class ProfilesDestination(Destination):
    """Keeps the identity graph, and what is known of each person.

    Attributes:
        reader: reads profiles for the Profile API.
    """

    def __init__(self, config: ProfilesConfig, context: Context) -> None:
        self._context = context
        self._path = graph_path(context.shared_dir, context.id)
        rules = rules_of(config)
        self._store = Store(self._path, rules)
        self._reader = Reader(
            rules.kinds, config.max_event_identifiers, config.max_identifier_chars
        )
        self._known = Known(config.max_cached)
        self._learner = Learner(self._reader, self._known)
        observer = Observer(config.traits, counted(context.tables), context.count)
        self._keeper = Keeper(observer, config.traits, config.max_identifier_chars)
        schema = Schema(rules.kinds, config.traits, observer.definitions)
        self.reader = ProfileReader(self._path, rules, schema)
        self._erasures = 0
        self._thread: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Opens the graph.

        Raises:
            Misconfigured: the file cannot be used.
        """
        self._thread = ThreadPoolExecutor(1, "profiles")
        await self._run(self._store.open)

    async def stop(self) -> None:
        """Closes the graph."""
        await asyncio.to_thread(self.reader.close)
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._store.close)
            thread.shutdown()

    async def check(self) -> None:
        """Proves that the file can be written, without making it."""
        place = self._path
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK):
            raise Misconfigured(f"{place}: cannot be written")

    async def send(self, batch: Batch) -> None:
        """Adds what the events say about who is who, all of it or nothing.

        Raises:
            Retryable: the disk is full or fails, or another process holds the file.
            Misconfigured: the file was moved or cannot be written.
        """
        await self._run(lambda: self._learn(batch))
        for why, number in self._reader.refused.items():
            self._context.count(f"identifiers_{why}", number)
        self._reader.refused.clear()

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Erases the people with these ids, each with all identifiers that were merged into one.

        Raises:
            Retryable: the disk is full or fails, or a reader keeps the journal.
        """
        gone = await self._run(lambda: self._erase(subjects))
        detail = f"{len(gone.profiles)} profiles with {gone.identifiers} identifiers"
        if gone.shared:
            detail += f"; {gone.shared} of them were seen with other people, too, who stay"
        return Erasure("FINISHED", gone.identifiers, detail)

    # -- in the thread ---------------------------------------------------------

    def _learn(self, batch: Batch) -> None:
        sightings, new = self._learner.sightings(batch)
        with self._store.transaction() as session:
            if self._was_erased():  # what was known may be gone
                self._known.clear()
                sightings, new = self._learner.sightings(batch)
            found = [() if one is None else one.ids for one in sightings]
            if new:
                session.learn(facts_of(new))
            self._keeper.keep(session.db, batch, found, self._context.clock())
            session.advance(batch.queue_id, batch.offsets[-1] + 1)
        self._learner.confirm(new)

    def _was_erased(self) -> bool:
        """Tells whether people were erased since the last batch, also by another worker."""
        _, erasures = self._store.counters()
        before, self._erasures = self._erasures, erasures
        return erasures != before

    def _erase(self, subjects: Subjects) -> Erased:
        kinds = self._store.rules.kinds
        named = [("user_id", one) for one in subjects.users]
        named += [("anonymous_id", one) for one in subjects.anonymous]
        wanted = []
        for type_, text in named:
            value, why = clean(type_, text, kinds, len(text))
            if why is None:
                wanted.append(Identifier(type_, value))
        with self._store.transaction() as session:
            gone = erase(session, wanted)
        self._known.clear()
        for file in self._path.parent.glob("people-*"):  # what queries keep of who is who
            file.unlink(missing_ok=True)
        self._store.scrub()
        return gone

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._thread is None:
            raise RuntimeError("send() needs start() first")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, explained, self._path, work)
