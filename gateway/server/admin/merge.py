"""The ways in which a gateway with several shards answers a path of the administration API.

An endpoint names one of these strategies. They are data: `gateway.cluster.fan_out` carries them
out. Functions that a strategy holds know nothing of processes and sockets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from aiohttp import web

from gateway.config.model import Config

__all__ = [
    "AllOrFiles",
    "AllShards",
    "AnyShard",
    "Call",
    "Check",
    "Coordinated",
    "Files",
    "FirstShard",
    "Merge",
    "Outcomes",
    "OwningShard",
    "Shards",
    "Stream",
]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a gateway with several shards.

    Attributes:
        body: the request's body, empty if it has none.
        workers: number of worker processes.
    """

    request: web.Request
    body: bytes
    workers: int


Check: TypeAlias = Callable[[Call], object]
"""Raises `AdminError` for a bad request before any shard is asked; its result is ignored."""


def _accept(_: Call) -> None:
    """Accepts every request."""


class Shards(Protocol):
    """All shards of a gateway; each is asked at the worker that runs it."""

    @property
    def shards(self) -> Sequence[int]:
        """The numbers of all shards."""
        ...

    async def ask(
        self, shard: int, method: str, path: str, body: bytes | None = None
    ) -> bytes | None:
        """Returns the answer of one shard; None if its worker is down.

        Raises:
            AdminError: the shard refuses.
        """
        ...

    async def all_up(self, method: str, path: str, body: bytes | None = None) -> dict[int, bytes]:
        """Returns the answers of all shards.

        Raises:
            AdminError: a worker is down, or a shard refuses.
        """
        ...

    def there(self, shard: int, data: bytes | None) -> bytes:
        """Returns the answer of a shard.

        Raises:
            AdminError: `data` is None: the worker is down.
        """
        ...


@dataclass(frozen=True, slots=True)
class FirstShard:
    """Shard 0 answers: it alone keeps the data or decides.

    Attributes:
        status: HTTP status of a success.
    """

    status: int = 200


@dataclass(frozen=True, slots=True)
class AnyShard:
    """The first shard whose worker is up answers: all of them know the same."""


@dataclass(frozen=True, slots=True)
class OwningShard:
    """The shard that gave out the ``{id}`` of the path answers.

    Attributes:
        unknown: message of the 404 for an id of no shard.
    """

    unknown: str


@dataclass(frozen=True, slots=True)
class AllShards(Generic[_T]):
    """All shards answer; the call fails with 503 while a worker is down.

    Attributes:
        answer_type: of one shard's answer.
        merge: makes the JSON value of the whole from the answers by shard.
    """

    answer_type: type[_T]
    merge: Callable[[Mapping[int, _T], Call], Any]
    check: Check = _accept


@dataclass(frozen=True, slots=True)
class AllOrFiles(Generic[_T]):
    """All shards answer; the files of a shard are read while its worker is down.

    Attributes:
        answer_type: of one shard's answer.
        read: makes the same answer from the files of a shard; may block.
        merge: makes the JSON value of the whole from the answers by shard.
    """

    answer_type: type[_T]
    read: Callable[[Config, Call], _T]
    merge: Callable[[Mapping[int, _T], Call], Any]
    check: Check = _accept


@dataclass(frozen=True, slots=True)
class Files:
    """The receiving worker reads the files of all shards and asks nobody.

    Attributes:
        read: makes the JSON value of the whole from the configs of all shards; may block.
    """

    read: Callable[[Sequence[Config], Call], Any]


@dataclass(frozen=True, slots=True)
class Outcomes(Generic[_T]):
    """All shards act, each for itself and without a time limit.

    Attributes:
        answer_type: of one shard's answer.
        merge: makes the JSON value of the whole from the answers by shard; the answer of a shard
            that refused or is down is a message.
    """

    answer_type: type[_T]
    merge: Callable[[Mapping[int, _T | str], Call], Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """The lines of all shards are passed on as they come, until the caller leaves."""

    check: Check = _accept


@dataclass(frozen=True, slots=True)
class Coordinated:
    """The area takes several steps across the shards by itself.

    Attributes:
        run: makes the answer.
    """

    run: Callable[[Shards, Call], Awaitable[web.StreamResponse]]


Merge: TypeAlias = (
    FirstShard
    | AnyShard
    | OwningShard
    | AllShards[Any]
    | AllOrFiles[Any]
    | Files
    | Outcomes[Any]
    | Stream
    | Coordinated
)
