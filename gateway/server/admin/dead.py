"""``/admin/dead``: lists, counts, retries and drops dead letters.

All paths take a POST, because a filter does not fit into a path.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from aiohttp import web
from msgspec import Meta, Struct

from gateway.config.model import Config
from gateway.events.timestamps import now_ms
from gateway.events.values import LARGEST
from gateway.server.admin.api import answer, body, decoded, note
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AllOrFiles, Call
from gateway.state import STATE_FILE, DeadLetter
from gateway.state.dead_letters import DeadLetters, Filter, merge_letters

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS", "DeadLetterQuery"]

_Counts = list[tuple[str, str, int]]
"""Destination, reason and number."""


class DeadLetterQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request: which dead letters it is about, and how many to list."""

    which: Filter = Filter()
    limit: Annotated[int, Meta(ge=0, le=LARGEST)] = 50


def _letters(config: Config) -> DeadLetters:
    return DeadLetters(config.data_dir / STATE_FILE, config.shard)


def _counts(letters: DeadLetters, which: Filter) -> _Counts:
    return [(*key, number) for key, number in letters.count(which).items()]


async def _list(gateway: Gateway, request: web.Request) -> web.Response:
    query = body(request, DeadLetterQuery)
    letters = _letters(gateway.config)
    return answer(await asyncio.to_thread(letters.find, query.which, query.limit))


async def _count(gateway: Gateway, request: web.Request) -> web.Response:
    query = body(request, DeadLetterQuery)
    return answer(await asyncio.to_thread(_counts, _letters(gateway.config), query.which))


async def _retry(gateway: Gateway, request: web.Request) -> web.Response:
    which = body(request, DeadLetterQuery).which
    number = await asyncio.to_thread(_letters(gateway.config).retry, which, gateway.clock())
    for worker in gateway.workers.values():
        worker.look_into_lane()
    note(request, destination=which.destination, reason=which.reason, events=number)
    return answer(number)


async def _drop(gateway: Gateway, request: web.Request) -> web.Response:
    which = body(request, DeadLetterQuery).which
    number = await asyncio.to_thread(_letters(gateway.config).drop, which)
    note(request, destination=which.destination, reason=which.reason, events=number)
    return answer(number)


def _query(call: Call) -> DeadLetterQuery:
    return decoded(call.body, DeadLetterQuery)


def _read_list(config: Config, call: Call) -> list[DeadLetter]:
    query = _query(call)
    return _letters(config).find(query.which, query.limit)


def _read_counts(config: Config, call: Call) -> _Counts:
    return _counts(_letters(config), _query(call).which)


def _merge_list(found: Mapping[int, list[DeadLetter]], call: Call) -> list[DeadLetter]:
    return merge_letters(found.values(), _query(call).limit)


def _merge_counts(found: Mapping[int, _Counts], _: Call) -> _Counts:
    total: Counter[tuple[str, str]] = Counter()
    for counts in found.values():
        for destination, reason, number in counts:
            total[destination, reason] += number
    return [(*key, total[key]) for key in sorted(total)]


def _change(change: Callable[[DeadLetters, Filter], int]) -> AllOrFiles[int]:
    """A change of dead letters in all shards, answered with their number."""
    return AllOrFiles(
        int,
        lambda config, call: change(_letters(config), _query(call).which),
        lambda found, _: sum(found.values()),
        _query,
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/admin/dead/list",
        "read",
        _list,
        AllOrFiles(list[DeadLetter], _read_list, _merge_list, _query),
    ),
    Endpoint(
        "POST",
        "/admin/dead/count",
        "read",
        _count,
        AllOrFiles(_Counts, _read_counts, _merge_counts, _query),
    ),
    Endpoint(
        "POST",
        "/admin/dead/retry",
        "operate",
        _retry,
        _change(lambda letters, which: letters.retry(which, now_ms())),
    ),
    Endpoint(
        "POST",
        "/admin/dead/drop",
        "operate",
        _drop,
        _change(lambda letters, which: letters.drop(which)),
    ),
)
