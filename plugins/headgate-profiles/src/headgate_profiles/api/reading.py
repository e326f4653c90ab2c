"""Reads profiles in threads, each with a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from headgate_profiles.graph.rules import Rules
from headgate_profiles.profile import Profiles, Schema
from headgate_profiles.store import GraphError, Store

__all__ = ["READERS", "ProfileReader"]

READERS = 2
"""Threads that read profiles. A read takes 0.1 ms, so that two serve thousands a second."""

_T = TypeVar("_T")


class ProfileReader:
    """Reads the profiles of one destination.

    Attributes:
        schema: types of identifiers and rules of traits.
    """

    def __init__(self, path: Path, rules: Rules, schema: Schema) -> None:
        self.schema = schema
        self._path = path
        self._rules = rules
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(READERS, "profiles-read")
        self._stores: list[Store] = []
        self._closed = False

    async def read(self, work: Callable[[Profiles], _T]) -> _T:
        """Runs work with the profiles in a thread.

        Raises:
            GraphError: the file cannot be read now.
        """
        if self._closed:
            raise GraphError("the config is being changed: try again")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)
        except sqlite3.Error as error:
            raise GraphError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Waits for reads that run, and closes the connections."""
        self._closed = True
        self._threads.shutdown()
        for store in self._stores:
            store.close()

    def _run(self, work: Callable[[Profiles], _T]) -> _T:
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = Store(self._path, self._rules, reads=True)
            store.open()
            self._own.store = store
            self._stores.append(store)
        return work(Profiles(store.db, self.schema))
