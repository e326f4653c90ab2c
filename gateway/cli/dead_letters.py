"""Dead letters of a running gateway, or of the files of a data directory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gateway.cli.admin_client import Remote, connect
from gateway.cli.place import Place
from gateway.config.data_dir import shards_of
from gateway.config.model import Config
from gateway.events.timestamps import now_ms
from gateway.state import STATE_FILE, DeadLetter
from gateway.state.audit_trail import local_actor, record_offline
from gateway.state.dead_letters import DeadLetters, Filter, merge_letters

__all__ = ["Letters", "open_letters"]


class Letters(Protocol):
    """Access to dead letters."""

    def find(self, which: Filter, limit: int) -> list[DeadLetter]:
        """Returns the newest."""

    def count(self, which: Filter) -> dict[tuple[str, str], int]:
        """Counts them by destination and reason."""

    def retry(self, which: Filter) -> int:
        """Has them sent again, and returns their number."""

    def drop(self, which: Filter) -> int:
        """Deletes them, and returns their number."""


def open_letters(place: Place) -> Letters:
    """Returns the letters of the running gateway, or of the files if none runs."""
    remote = connect(place)
    return _ByFile(shards_of(place.config)) if remote is None else _ByGateway(remote)


class _ByGateway:
    """Access over the admin API."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def find(self, which: Filter, limit: int) -> list[DeadLetter]:
        found = self._ask("list", which, limit)
        return msgspec.json.decode(msgspec.json.encode(found), type=list[DeadLetter])

    def count(self, which: Filter) -> dict[tuple[str, str], int]:
        found = msgspec.convert(self._ask("count", which), list[tuple[str, str, int]])
        return {(destination, reason): number for destination, reason, number in found}

    def retry(self, which: Filter) -> int:
        return int(self._ask("retry", which))

    def drop(self, which: Filter) -> int:
        return int(self._ask("drop", which))

    def _ask(self, what: str, which: Filter, limit: int = 1) -> Any:
        body = {"which": msgspec.to_builtins(which), "limit": limit}
        return self._remote.post(f"/admin/dead/{what}", body)


class _ByFile:
    """Access to the files of all shards; changes are written to the audit trail."""

    def __init__(self, shards: list[Config]) -> None:
        paths = [(one.data_dir / STATE_FILE, one.shard) for one in shards]
        self._shards = [(path, DeadLetters(path, shard)) for path, shard in paths]

    def find(self, which: Filter, limit: int) -> list[DeadLetter]:
        return merge_letters([letters.find(which, limit) for _, letters in self._shards], limit)

    def count(self, which: Filter) -> dict[tuple[str, str], int]:
        total: Counter[tuple[str, str]] = Counter()
        for _, letters in self._shards:
            total.update(letters.count(which))
        return dict(sorted(total.items()))

    def retry(self, which: Filter) -> int:
        now = now_ms()
        return sum(
            _recorded("dead.retry", which, path, letters.retry(which, now))
            for path, letters in self._shards
        )

    def drop(self, which: Filter) -> int:
        return sum(
            _recorded("dead.drop", which, path, letters.drop(which))
            for path, letters in self._shards
        )


def _recorded(action: str, which: Filter, path: Path, events: int) -> int:
    detail = {"destination": which.destination, "reason": which.reason, "events": events}
    if events:
        record_offline(path, now_ms(), local_actor(), action, detail)
    return events
