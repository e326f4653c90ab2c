"""Makes message ids for records that have none.

An id is made of the record and of the number of equal records before it in the same import. So the
same files give the same ids each time, also after a cut or in another order of lines, and equal
records stay different events, in one file or in several.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence

import msgspec

__all__ = ["Ids"]

_CACHE_KIB = 32_768
_TIMES = "SELECT digest, times FROM seen WHERE digest IN (SELECT value FROM json_each(?))"


class Ids:
    """Ids for one pass over the files of an import.

    A counter for each record stands in a temporary database, which goes to disk beyond
    `_CACHE_KIB`. It holds digests alone.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE seen (digest INTEGER PRIMARY KEY, times INTEGER)")
        self._db.execute("BEGIN")

    def of(self, records: Sequence[bytes]) -> list[str]:
        """Returns the ids of the next records with these texts."""
        digests = [hashlib.sha256(record) for record in records]
        keys = [int.from_bytes(digest.digest()[:8], signed=True) for digest in digests]
        # One look-up for all of them: one for each record costs more than all else of its id.
        asked = msgspec.json.encode(keys).decode()
        times: dict[int, int] = dict(self._db.execute(_TIMES, (asked,)))
        ids = []
        for key, digest in zip(keys, digests, strict=True):
            before = times.get(key, 0)
            times[key] = before + 1
            digest.update(b":%d" % before)
            ids.append(f"line-{digest.hexdigest()[:40]}")
        self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", times.items())
        return ids

    def close(self) -> None:
        """Deletes the counters."""
        self._db.close()
