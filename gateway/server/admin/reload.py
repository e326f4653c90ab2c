"""``POST /admin/reload``: reads the config file again and uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.config.data_dir import name_of
from gateway.errors import GatewayError
from gateway.runtime.reload import Reloaded
from gateway.server.admin.api import CALLER, AdminError, answer, unchanged
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import Outcomes

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS", "merge_reloads"]


async def _reload(gateway: Gateway, request: web.Request) -> web.Response:
    unchanged(request)  # the gateway records a reload itself, as it does for a signal
    try:
        return answer(await gateway.reload(request[CALLER].name))
    except GatewayError as error:
        raise AdminError(str(error), 409) from error


def merge_reloads(found: Mapping[int, Reloaded | str], workers: int) -> Reloaded:
    """Merges the reloads of all shards; a refusal is a message.

    Raises:
        AdminError: a shard refused, or two shards use different contents of the file.
    """
    done = {shard: one for shard, one in found.items() if not isinstance(one, str)}
    refused = [one for one in found.values() if isinstance(one, str)]
    if refused and done:
        refused.append(f"used by {', '.join(name_of(shard, workers) for shard in done)}")
    elif len({one.hash for one in done.values()}) > 1:
        refused.append("the file changed meanwhile, and not all use the same: try again")
    if refused:
        raise AdminError("; ".join(refused), 409)
    return Reloaded(
        next(iter(done.values())).hash,
        list(dict.fromkeys(change for one in done.values() for change in one.changes)),
        list(dict.fromkeys(key for one in done.values() for key in one.waits)),
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/admin/reload",
        "operate",
        _reload,
        Outcomes(Reloaded, lambda found, call: merge_reloads(found, call.workers)),
    ),
)
