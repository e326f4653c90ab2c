"""Looks up the country of an address in the user's own database, which may change at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import maxminddb

from gateway import ConfigError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Countries"]

_CODE_LENGTH = 2


class Countries:
    """Looks up countries in a file of MaxMind's format, and reads it anew when it has changed.

    The file is read into memory, as one that is overwritten in place would end a process that has
    it mapped. It is read in another thread while the old one is still in use. If the new file is
    missing or broken, the old one stays in use.

    Args:
        check_seconds: interval at which a change is noticed.
        max_cached: addresses that are remembered.
        clock: monotonic seconds.

    Raises:
        ConfigError: the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        log: FilteringBoundLogger,
        *,
        check_seconds: float,
        max_cached: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._log = log
        self._every = check_seconds
        self._max_cached = max_cached
        self._clock = clock
        self._check_at = clock() + check_seconds
        self._reading: threading.Thread | None = None
        try:
            self._state = self._stat()
            self._of = self._opened()
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise ConfigError(f"geo_file: {path} cannot be read: {error}") from error

    def of(self, address: str) -> str | None:
        """Returns the code of an address's country, such as ``DE``; None if it is not known."""
        if self._clock() >= self._check_at:
            self._check()
        return self._of(address)

    def settle(self) -> None:
        """Waits for a file that is being read."""
        if self._reading is not None:
            self._reading.join()

    def _check(self) -> None:
        """Begins to read a changed file."""
        self._check_at = self._clock() + self._every
        if self._reading is not None and self._reading.is_alive():
            return
        try:
            state = self._stat()
        except OSError:
            state = None
        if state == self._state:
            return
        self._state = state
        self._reading = threading.Thread(target=self._replace, name="geo_file", daemon=True)
        self._reading.start()

    def _replace(self) -> None:
        try:
            self._of = self._opened()
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            self._log.error(
                "geo_file cannot be read; the one before stays in use",
                path=str(self._path),
                error=str(error),
            )
        else:
            self._log.info("geo_file is read anew", path=str(self._path))

    def _stat(self) -> tuple[int, int, int] | None:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _opened(self) -> Callable[[str], str | None]:
        """Returns the look-up in the file as it is now."""
        reader = maxminddb.open_database(str(self._path), maxminddb.MODE_MEMORY)
        return lru_cache(self._max_cached)(lambda address: _country(reader, address))


def _country(reader: maxminddb.Reader, address: str) -> str | None:
    try:
        record: Any = reader.get(address)
    except (ValueError, maxminddb.InvalidDatabaseError):  # no address, or a broken record
        return None
    if not isinstance(record, dict):
        return None
    found = record.get("country")
    code = found.get("iso_code") if isinstance(found, dict) else record.get("country_code", found)
    return code if isinstance(code, str) and len(code) == _CODE_LENGTH else None
