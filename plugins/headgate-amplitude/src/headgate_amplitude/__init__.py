"""Headgate destination ``amplitude``: events, users and groups for Amplitude."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, Context, Destination, DestinationSpec, hookimpl
from headgate_amplitude.config import AmplitudeConfig

__all__ = ["AmplitudeConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


def _build(config: AmplitudeConfig, context: Context) -> Destination:
    from headgate_amplitude.destination import (
        Amplitude,  # what the commands of other packages do without
    )

    return Amplitude(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``amplitude``."""
    register(
        DestinationSpec(
            "amplitude",
            AmplitudeConfig,
            _build,
            name="Amplitude",
            batch=BatchPolicy(max_events=1000, max_bytes=2_000_000, max_age_seconds=1.0),
            max_concurrency=4,
            idempotent=True,
            rehearses=True,
        )
    )
