"""Headgate destination ``amplitude``: events, users and groups for Amplitude."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, DestinationSpec, hookimpl
from headgate_amplitude.config import AmplitudeConfig
from headgate_amplitude.destination import Amplitude

__all__ = ["Amplitude", "AmplitudeConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``amplitude``."""
    register(
        DestinationSpec(
            "amplitude",
            AmplitudeConfig,
            Amplitude,
            name="Amplitude",
            batch=BatchPolicy(max_events=1000, max_bytes=2_000_000, max_age_seconds=1.0),
            max_concurrency=4,
            idempotent=True,
            rehearses=True,
        )
    )
