"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.delivery_bench import Bench, make_bench


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    """Logs of the code under test go nowhere; a test that looks at them captures them itself."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(name="bench")
async def _bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A queue and a state file for workers that the test makes."""
    async with make_bench(tmp_path) as bench:
        yield bench
