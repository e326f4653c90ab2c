"""Device and app of an event, under a vendor's names."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import as_text, context_values, mobile_platform

FIELDS = {"device": (("brand", "manufacturer"), ("brand", "brand")), "app": (("app", "name"),)}


@pytest.mark.parametrize(
    ("context", "found"),
    [
        ({"device": {"manufacturer": "Acme", "brand": "A1"}, "app": {"name": 7}}, ["A1", "7"]),
        ({"device": {"manufacturer": "Acme", "brand": ""}}, ["Acme"]),
        ({"device": {"manufacturer": "Acme", "brand": True}}, ["Acme"]),
        ({"device": "Acme", "app": None}, []),
    ],
)
def test_the_last_key_with_a_value_counts(context: Any, found: list[str]) -> None:
    """Values that cannot be read never replace others."""
    assert list(context_values(context, FIELDS, as_text).values()) == found


def test_a_value_that_reads_as_none_is_left_out() -> None:
    """Zero and false are values."""
    values = {"app": {"a": 0, "b": False, "c": [1]}}
    fields = {"app": (("A", "a"), ("B", "b"), ("C", "c"))}
    read = context_values(values, fields, lambda value: None if value == [1] else value)
    assert read == {"A": 0, "B": False}


@pytest.mark.parametrize(
    ("context", "platform"),
    [
        ({"os": {"name": "iPadOS"}}, "ios"),
        ({"os": {"name": "Android"}, "device": {"type": "ios"}}, "android"),
        ({"os": {"name": None}, "device": {"type": "watchOS"}}, "ios"),
        ({"os": {"name": "Windows"}, "device": {"type": "android"}}, ""),
        ({"os": "ios"}, ""),
        ({}, ""),
    ],
)
def test_the_system_decides_before_the_device(context: Any, platform: str) -> None:
    """The type of the device counts only where the operating system has no name."""
    assert mobile_platform(context) == platform
