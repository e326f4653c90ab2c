"""A whole gateway in a test, and the plugins that it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config.load import load
from gateway.runtime.plugins import Registry, discover

__all__ = ["discover_plugins", "running_gateway"]


def discover_plugins() -> Registry:
    """Returns the types of all installed plugins and of the built-in ones.

    ``types`` has them by kind and name, as in ``types["destination", "file"]``; ``failures`` has
    the plugins that cannot be used.
    """
    return discover()


@asynccontextmanager
async def running_gateway(
    folder: Path, config: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """Runs a gateway with all installed plugins; gives its base URL.

    On leaving, it answers the requests in flight and stops like `gateway serve`.

    Args:
        folder: gets the config.toml; paths in it are relative to this folder.
        config: text of config.toml. ``port = 0`` below ``[server]`` takes a free port.
        variables: environment variables for the config.

    Raises:
        GatewayError: the config is wrong, or a component does not start.
    """
    # Imported here, as importing the server takes a while.
    from gateway.runtime.gateway import Gateway
    from gateway.server.app import serving

    path = folder / "config.toml"
    path.write_text(config, encoding="utf-8")
    gateway = Gateway(load(path, variables or {}), discover_plugins())
    async with gateway.running(), serving(gateway) as url:
        yield url
