"""Headgate destination ``ga4``: events for Google Analytics 4 by the Measurement Protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, Context, Destination, DestinationSpec, hookimpl
from headgate_ga4.config import Ga4Config

__all__ = ["Ga4Config", "__version__", "register_destinations"]

__version__ = "0.1.0"


def _build(config: Ga4Config, context: Context) -> Destination:
    from headgate_ga4.destination import Ga4  # what the commands of other packages do without

    return Ga4(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``ga4``."""
    register(
        DestinationSpec(
            "ga4",
            Ga4Config,
            _build,
            name="Google Analytics 4",
            batch=BatchPolicy(max_events=500, max_bytes=1_000_000, max_age_seconds=1.0),
            max_concurrency=4,
            rehearses=True,
        )
    )
