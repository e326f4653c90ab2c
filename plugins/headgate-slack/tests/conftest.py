"""Fixtures for the tests of Slack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import FakeVendor, ManualClock, make_config, make_context
from headgate_slack import SlackConfig
from headgate_slack.destination import Slack

Make = Callable[..., Awaitable[Slack]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor() as vendor:
        yield vendor


@pytest.fixture
async def make(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Make]:
    """Makes and starts destinations from the keys a user would write, and stops them."""
    made: list[Slack] = []

    async def start(**keys: Any) -> Slack:
        keys = {"interval_seconds": 0.0, **keys}
        config = make_config(SlackConfig, keys, "destinations.team")
        destination = Slack(config, make_context(tmp_path, "team", clock=clock))
        made.append(destination)
        await destination.start()
        return destination

    yield start
    for destination in made:
        await destination.stop()
