"""Runs a whole gateway in a test, and finds plugins as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config.load import load
from gateway.runtime.plugins import Registry, discover

__all__ = ["discover_plugins", "running_gateway"]


def discover_plugins() -> Registry:
    """The types of all plugins that are installed, and of those that come with the gateway.

    ``types`` has them by kind and name, as in ``types["destination", "file"]``; ``failures`` has
    the plugins that cannot be used.
    """
    return discover()


@asynccontextmanager
async def running_gateway(
    folder: Path, config: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """Run a gateway with all installed plugins; gives its base URL.

    On leaving, it answers the requests under way and stops as `gateway serve` does.

    Args:
        folder: gets the config.toml; paths in it are relative to this folder.
        config: its text. With ``port = 0`` below ``[server]`` a free port is taken.
        variables: environment variables that it may name.

    Raises:
        GatewayError: the config is wrong, or something in it does not start.
    """
    # Only here, for the server takes a while to import.
    from gateway.runtime.gateway import Gateway
    from gateway.server.app import serving

    path = folder / "config.toml"
    path.write_text(config, encoding="utf-8")
    gateway = Gateway(load(path, variables or {}), discover_plugins())
    async with gateway.running(), serving(gateway) as url:
        yield url
