"""Fixtures: a lake with known events, and the runner that queries it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headgate_lake import Lake, Limits, Runner
from headgate_lake.sql.limits import MOST_SECONDS
from headgate_lake.sql.process import Spares
from headgate_lake.testing import write_lake

DAYS = 10


def _order(number: int) -> dict[str, Any]:
    return {
        "event": "Order Completed",
        "userId": f"user-{number % 7}",
        "timestamp": f"2026-11-{1 + number % DAYS:02d}T{number % 24:02d}:00:00Z",
        "properties": {"revenue": number, "currency": "eur", "coupon": f"c{number % 3}"},
    }


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with 200 orders of seven people in ten days."""
    return write_lake(tmp_path_factory.mktemp("shop") / "lake", map(_order, range(200)))


@pytest.fixture(scope="session")
def limits() -> Limits:
    """Limits that are small enough to be reached in a test."""
    return Limits(
        memory_bytes=100_000_000,
        spill_bytes=100_000_000,
        seconds=20,
        max_rows=1000,
        max_answer_bytes=2_000_000,
    )


@pytest.fixture(scope="session")
def spares() -> Iterator[Spares]:
    """The processes of all runners of a test run, as starting one takes longer than most tests."""
    one = Spares(MOST_SECONDS)
    yield one
    one.close()


@pytest.fixture(scope="session")
def runner(shop: Lake, limits: Limits, spares: Spares) -> Runner:
    """Runs queries over `shop`."""
    return Runner(shop, limits, spares)
