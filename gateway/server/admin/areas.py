"""The table of all paths of the administration API."""

from __future__ import annotations

from gateway.server.admin import (
    audit,
    dead,
    explain,
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

__all__ = ["ENDPOINTS"]

ENDPOINTS: tuple[Endpoint, ...] = (
    *audit.ENDPOINTS,
    *dead.ENDPOINTS,
    *explain.ENDPOINTS,
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
