"""``POST /admin/explain``: dry-runs events through the running config."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from gateway.components.dry_run import noting_keyed
from gateway.delivery.dry_run import MaskedJson
from gateway.errors import GatewayError
from gateway.events.event import Event, decode_events
from gateway.runtime.explain.explainer import explaining, likeness
from gateway.runtime.explain.question import Question, explained
from gateway.server.admin.api import AdminError, answer, body
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AnyShard
from gateway.server.admin.why import find_stored
from gateway.state.offline import stored_by_id

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]


async def _explain(gateway: Gateway, request: web.Request) -> web.Response:
    question = body(request, Question)
    found = await asyncio.to_thread(_stored, gateway, question.message_id)
    like = await asyncio.to_thread(likeness, gateway)
    try:
        with noting_keyed() as hashes:
            asked = explaining(like, question.destination, partial(_known, gateway))
            async with asked as explainer:
                explanation = await explained(explainer, like, question, iter(found))
        # Else callers could have any value hashed, and find out whose pseudonym is whose.
        return answer(MaskedJson(hashes).hide(msgspec.to_builtins(explanation)))
    except GatewayError as error:
        raise AdminError(str(error)) from error


def _known(gateway: Gateway, source_id: str, message_ids: set[str]) -> set[str]:
    """Returns those of the ids that de-duplication remembers."""
    recent = gateway.recent_ids
    return set() if recent is None else {i for i in message_ids if recent.knows(source_id, i)}


def _stored(gateway: Gateway, message_id: str) -> list[tuple[Event, int, int]]:
    return list(_find(gateway, message_id)) if message_id else []


def _find(gateway: Gateway, message_id: str) -> Iterator[tuple[Event, int, int]]:
    """Gives stored events with an id, each with its offset and shard."""
    if gateway.config.queue[0].type == "disk":
        yield from stored_by_id(gateway.config, message_id)
        return
    for offset, data in find_stored(gateway, message_id):
        yield decode_events(b"[" + data + b"]")[0], offset, gateway.config.shard


# All workers have the same config and remember each other's ids; stored events are read from the
# files of all shards.
ENDPOINTS = (Endpoint("POST", "/admin/explain", "read", _explain, AnyShard()),)
