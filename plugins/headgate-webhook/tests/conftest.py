"""Fixtures for the tests of the webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import FakeVendor, ManualClock, make_config, make_context
from headgate_webhook import Webhook, WebhookConfig

Make = Callable[..., Awaitable[Webhook]]


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
    made: list[Webhook] = []

    async def start(url: str, **keys: Any) -> Webhook:
        config = make_config(WebhookConfig, {"url": url, **keys}, "destinations.crm")
        destination = Webhook(config, make_context(tmp_path, "crm", clock=clock))
        made.append(destination)
        await destination.start()
        return destination

    yield start
    for destination in made:
        await destination.stop()
