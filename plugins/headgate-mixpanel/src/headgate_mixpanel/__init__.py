"""Headgate destination ``mixpanel``: events, profiles and groups for Mixpanel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, Context, Destination, DestinationSpec, hookimpl
from headgate_mixpanel.config import MixpanelConfig

__all__ = ["MixpanelConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


def _build(config: MixpanelConfig, context: Context) -> Destination:
    from headgate_mixpanel.destination import (
        Mixpanel,  # what the commands of other packages do without
    )

    return Mixpanel(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``mixpanel``."""
    register(
        DestinationSpec(
            "mixpanel",
            MixpanelConfig,
            _build,
            name="Mixpanel",
            batch=BatchPolicy(max_events=2000, max_bytes=4_000_000, max_age_seconds=1.0),
            max_concurrency=8,
            rehearses=True,
        )
    )
