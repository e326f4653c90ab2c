"""Makes message ids for records that have none.

An id is made of the record and of the number of equal records before it in the same import. So the
same files give the same ids each time, also after a cut or in another order of lines, and equal
records stay different events, in one file or in several.
"""

from __future__ import annotations

import hashlib
import sqlite3

__all__ = ["Ids"]

_CACHE_KIB = 32_768


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

    def of(self, record: bytes) -> str:
        """Returns the id of the next record with this text."""
        digest = hashlib.sha256(record)
        key = int.from_bytes(digest.digest()[:8], signed=True)
        (times,) = self._db.execute(
            "INSERT INTO seen VALUES (?, 0) "
            "ON CONFLICT (digest) DO UPDATE SET times = times + 1 RETURNING times",
            (key,),
        ).fetchone()
        digest.update(b":%d" % times)
        return f"line-{digest.hexdigest()[:40]}"

    def close(self) -> None:
        """Deletes the counters."""
        self._db.close()
