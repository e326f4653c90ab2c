"""The administration API below /admin, for `gateway` commands and for operators' own tools.

Over TCP it exists only if config sets a token in ``[admin]``, and every request must carry one as
``Authorization: Bearer TOKEN``. Commands reach it by a Unix socket (`gateway.server.commands`)
with the secret of the run in place of a token. Answers are JSON; an error is ``{"error": "..."}``.

Each area is a module here with a tuple ``ENDPOINTS``, which `areas` collects; `packaged` adds those
of packages. An `Endpoint`
declares a path once: its role, its handler for one gateway, and how the answers of several shards
are merged. Handlers raise `AdminError` for mistakes of the caller. A change is written to the audit
trail after it is done: under the name of its path (``dead.retry``), with the detail that the
handler passed to `api.note`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.http.client_ip import ClientAddress
from gateway.server.admin.areas import all_endpoints
from gateway.server.admin.guard import CallerOf, Guard

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["add_admin", "add_endpoints"]


def add_admin(app: web.Application, gateway: Gateway, caller_of: CallerOf) -> None:
    """Adds the API of one gateway, within the bounds of its config."""
    guard = Guard(
        caller_of,
        gateway.audit.record,
        lambda: gateway.config.admin,
        lambda request: ClientAddress(gateway.config.server).of(request),
    )
    add_endpoints(app, gateway, guard)


def add_endpoints(app: web.Application, gateway: Gateway, guard: Guard) -> None:
    """Adds all paths of the API, answered by one gateway."""
    for endpoint in all_endpoints(gateway.registry):
        handler = guard.protect(endpoint, partial(endpoint.handler, gateway))
        app.router.add_route(endpoint.method, endpoint.path, handler)
