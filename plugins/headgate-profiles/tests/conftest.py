"""What the tests of profiles have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import Event
from gateway.testing import make_event
from headgate_profiles.graph.rules import Rules
from headgate_profiles.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty graph."""
    made = Store(tmp_path / "profiles" / "profiles.sqlite", Rules())
    made.open()
    yield made
    made.close()


@pytest.fixture
def sent() -> Callable[..., Event]:
    """Makes an event of these ids, received so many seconds after 14:00."""

    def make(second: int, **fields: object) -> Event:
        return make_event(
            **{
                "user_id": None,
                "received_at": f"2026-11-23T14:{second // 60:02d}:{second % 60:02d}.000Z",
                "timestamp": f"2026-11-23T14:{second // 60:02d}:{second % 60:02d}.000Z",
                **fields,
            }
        )

    return make
