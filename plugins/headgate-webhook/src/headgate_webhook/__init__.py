"""Headgate destination ``webhook``: posts batches of events to an HTTP endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, Context, Destination, DestinationSpec, hookimpl
from headgate_webhook.config import WebhookConfig

__all__ = ["WebhookConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


def _build(config: WebhookConfig, context: Context) -> Destination:
    from headgate_webhook.destination import (
        Webhook,  # what the commands of other packages do without
    )

    return Webhook(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``webhook``."""
    register(
        DestinationSpec(
            "webhook",
            WebhookConfig,
            _build,
            name="Webhook",
            batch=BatchPolicy(max_events=500, max_bytes=1_000_000, max_age_seconds=1.0),
            max_concurrency=8,
            rehearses=True,
        )
    )
