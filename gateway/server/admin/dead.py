"""``/admin/dead``: look into the dead letters, send them again, or drop them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct

from gateway.server.admin.api import answer, body, note
from gateway.state import STATE_FILE
from gateway.state.dead_letters import DeadLetters, Filter

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["Asked", "routes"]


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A request's body: which dead letters are meant, and how many are to be listed."""

    which: Filter = Filter()
    limit: int = 50


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area. All are POST, for a filter is no path."""
    letters = DeadLetters(gateway.config.data_dir / STATE_FILE, gateway.config.shard)

    async def find(request: web.Request) -> web.Response:
        asked = await body(request, Asked)
        return answer(await asyncio.to_thread(letters.find, asked.which, asked.limit))

    async def count(request: web.Request) -> web.Response:
        asked = await body(request, Asked)
        found = await asyncio.to_thread(letters.count, asked.which)
        return answer([[*key, number] for key, number in found.items()])

    async def retry(request: web.Request) -> web.Response:
        asked = await body(request, Asked)
        number = await asyncio.to_thread(letters.retry, asked.which, gateway.clock())
        for worker in gateway.workers.values():
            worker.look_into_lane()
        note(request, **_particulars(asked.which), events=number)
        return answer(number)

    async def drop(request: web.Request) -> web.Response:
        asked = await body(request, Asked)
        number = await asyncio.to_thread(letters.drop, asked.which)
        note(request, **_particulars(asked.which), events=number)
        return answer(number)

    return [
        web.post("/admin/dead/list", find),
        web.post("/admin/dead/count", count),
        web.post("/admin/dead/retry", retry),
        web.post("/admin/dead/drop", drop),
    ]


def _particulars(which: Filter) -> dict[str, str | None]:
    return {"destination": which.destination, "reason": which.reason}
