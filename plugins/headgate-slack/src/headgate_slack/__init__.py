"""Headgate destination ``slack``: messages about chosen events in Slack channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, DestinationSpec, hookimpl
from headgate_slack.config import SlackConfig
from headgate_slack.destination import Slack

__all__ = ["Slack", "SlackConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``slack``."""
    register(
        DestinationSpec(
            "slack",
            SlackConfig,
            Slack,
            name="Slack",
            # At a message a second, so many are through well within `timeout_seconds`.
            batch=BatchPolicy(max_events=20, max_bytes=1_000_000, max_age_seconds=1.0),
            rehearses=True,
        )
    )
