"""Headgate destination ``slack``: messages about chosen events in Slack channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, Context, Destination, DestinationSpec, hookimpl
from headgate_slack.config import SlackConfig

__all__ = ["SlackConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


def _build(config: SlackConfig, context: Context) -> Destination:
    from headgate_slack.destination import Slack  # what the commands of other packages do without

    return Slack(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``slack``."""
    register(
        DestinationSpec(
            "slack",
            SlackConfig,
            _build,
            name="Slack",
            # At a message a second, so many are through well within `timeout_seconds`.
            batch=BatchPolicy(max_events=20, max_bytes=1_000_000, max_age_seconds=1.0),
            rehearses=True,
        )
    )
