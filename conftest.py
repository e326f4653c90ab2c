"""Hooks for all tests, also for those of the packages."""

from __future__ import annotations

import pytest

from tests.support.sizes import is_search, set_examples
from tests.support.surroundings import neutralise

neutralise()


def pytest_configure(config: pytest.Config) -> None:
    """Set how long searches are, before the first test is imported."""
    set_examples(long=_is_long(config))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take properties for long searches where these are asked for; begin with what takes long.

    At the end, no process then waits for one long test of another.
    """
    if _is_long(config):
        for item in items:
            if is_search(item):
                item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _is_long(config: pytest.Config) -> bool:
    return "long" in config.option.markexpr.replace("not long", "")
