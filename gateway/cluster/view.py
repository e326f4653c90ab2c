"""Answers /health, /metrics and /admin for all shards, whichever worker receives the request.

The receiving worker asks every worker and merges the answers. The supervisor does the same for
commands of the machine. While a worker is down, /health names it, and the admin API reads ledger,
traces and dead letters from the files of its shards. Requests for what only the running process
knows are refused with the name of the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import unquote

import msgspec
from aiohttp import web

from gateway.cluster.fan_out import FanOut
from gateway.cluster.metrics import merge_metrics
from gateway.cluster.peers import CALLER_HEADER, Peers
from gateway.config.model import Config
from gateway.http.client_ip import ClientAddress
from gateway.http.tokens import Caller, Tokens
from gateway.runtime.health import merge_health
from gateway.runtime.reload import Reloaded
from gateway.server.admin.api import AdminError, answer
from gateway.server.admin.areas import ENDPOINTS
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.guard import CallerOf, Guard
from gateway.server.app import METRICS_TYPE

__all__ = ["View", "caller_of_worker"]


def caller_of_worker(request: web.Request) -> Caller:
    """Identifies the caller on whose behalf a worker asks.

    The receiving worker has already authorised this caller.
    """
    return Caller(unquote(request.headers.get(CALLER_HEADER, "")) or "worker", "admin")


class View:
    """One view of all shards.

    Attributes:
        stopping: set it to end streams.

    Args:
        config: of any shard.
        current: returns the config in use, for bounds that a reload may change.
        endpoints: the paths of the admin API.
        tokens: of the admin API.
    """

    def __init__(
        self,
        config: Config,
        peers: Peers,
        tokens: Tokens,
        current: Callable[[], Config] | None = None,
        endpoints: Sequence[Endpoint] = ENDPOINTS,
    ) -> None:
        self.stopping = asyncio.Event()
        self._peers = peers
        self._tokens = tokens
        self._current = current or (lambda: config)
        self._endpoints = endpoints
        self._workers = config.server.workers
        self._fan_out = FanOut(config, peers, self.stopping, lambda: self._current().admin)

    def add_to(self, app: web.Application, caller_of: CallerOf | None = None) -> None:
        """Adds the paths.

        Args:
            caller_of: identifies callers of /admin; by default their tokens do, and there is no
                /admin if config has none.
        """
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        if caller_of is None and self._tokens:
            caller_of = self._tokens.of_request
        if caller_of is not None:
            # Each worker records the changes that it makes.
            guard = Guard(
                caller_of,
                record=None,
                limits=lambda: self._current().admin,
                address_of=lambda request: ClientAddress(self._current().server).of(request),
            )
            for endpoint in self._endpoints:
                handler = guard.protect(endpoint, partial(self._fan_out.answer, endpoint))
                app.router.add_route(endpoint.method, endpoint.path, handler)

    async def reload(self) -> dict[int, Reloaded | str]:
        """Reloads the config file in all shards; returns the result or the refusal of each."""
        return await self._fan_out.outcomes("POST", "/admin/reload", Reloaded)

    async def _health(self, _: web.Request) -> web.Response:
        answers = await self._peers.ask_all("GET", "/health")
        found = {
            shard: None if data is None else msgspec.json.decode(data)
            for shard, data in answers.items()
        }
        state = merge_health(found, self._workers)
        return answer(state, 503 if state["status"] == "failing" else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        try:
            found = await self._peers.all_up("GET", "/metrics")
        except AdminError as error:
            # Sums without one worker would fall, and Prometheus would take that for a restart.
            return web.Response(text=f"{error}\n", status=503)
        texts = {shard: data.decode() for shard, data in found.items()}
        return web.Response(body=merge_metrics(texts), headers={"Content-Type": METRICS_TYPE})
