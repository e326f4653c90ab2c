"""The table of all paths of the administration API."""

from __future__ import annotations

from gateway.components.admin_area import AdminArea
from gateway.runtime.plugins import Registry
from gateway.server.admin import (
    audit,
    dead,
    explain,
    jobs,
    ledger,
    privacy,
    regulations,
    reload,
    replays,
    rollouts,
    shadows,
    status,
    tail,
    why,
)
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.packaged import endpoints_of

__all__ = ["ENDPOINTS", "all_endpoints"]

ENDPOINTS: tuple[Endpoint, ...] = (
    *audit.ENDPOINTS,
    *dead.ENDPOINTS,
    *explain.ENDPOINTS,
    *jobs.ENDPOINTS,
    *ledger.ENDPOINTS,
    *privacy.ENDPOINTS,
    *regulations.ENDPOINTS,
    *reload.ENDPOINTS,
    *replays.ENDPOINTS,
    *rollouts.ENDPOINTS,
    *shadows.ENDPOINTS,
    *status.ENDPOINTS,
    *tail.ENDPOINTS,
    *why.ENDPOINTS,
)
"""Those of the gateway itself."""


def all_endpoints(registry: Registry) -> tuple[Endpoint, ...]:
    """Returns the paths of the gateway itself, and those that packages have below /admin."""
    areas = [one for one in registry.named(AdminArea).values() if not one.root]
    return (*ENDPOINTS, *(endpoint for area in areas for endpoint in endpoints_of(area)))
