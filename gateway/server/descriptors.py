"""The limit on file descriptors, of which connections leave some for everything else."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import structlog

from gateway.config.settings import ServerConfig

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Descriptors"]


class Descriptors:
    """Raises the limit on descriptors, and tells when only the reserve is left.

    Files of the queue and the state store, and connections to destinations, live on the reserve:
    `server.reserved_descriptors`.
    """

    def __init__(self) -> None:
        self._config: ServerConfig | None = None
        self._most = 0

    def are_short(self, config: ServerConfig) -> bool:
        """Tells whether another connection would use the reserve."""
        if config is not self._config:
            self.fit(config)
        try:
            lowest_free = os.dup(0)  # all below it are in use; this takes about 1 µs
        except OSError:
            return True
        os.close(lowest_free)
        return lowest_free >= self._most

    def fit(self, config: ServerConfig) -> None:
        """Raises the soft limit as far as the config needs it; logs if that is not possible."""
        self._config = config
        needed = config.max_connections + config.reserved_descriptors
        limit = _raised(needed)
        # Half of a small limit goes to connections, or none would be accepted.
        self._most = max(limit - config.reserved_descriptors, limit // 2)
        if limit < needed:
            log: FilteringBoundLogger = structlog.get_logger()
            log.warning(
                "the limit on open files allows fewer connections than server.max_connections;"
                " further ones are refused with 503: raise the limit (LimitNOFILE, ulimit -n)",
                limit=limit,
                connections=self._most,
                max_connections=config.max_connections,
            )


def _raised(needed: int) -> int:
    """Raises the soft limit to what is needed, or as far as possible; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return needed
    if soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has another limit below an infinite one
            return soft
        return wanted
    return soft
