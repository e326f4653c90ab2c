"""The tree of errors."""

from __future__ import annotations

import re

import pytest

from gateway import errors
from gateway.errors import BatchError, Permanent, QueueFull, Retryable, Throttled


def drawn_tree() -> dict[str, str]:
    """Maps each class to its parent, as the module's docstring draws them."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    (?P<lead>(?:[│ ] {2} ?)*(?:[├└]── )?)(?P<name>[A-Z]\w+)\b", line)
        if match is None:
            continue
        depth = len(match["lead"]) // 4
        path[depth:] = [match["name"]]
        if depth:
            parents[match["name"]] = path[depth - 1]
    return parents


def test_the_drawing_is_the_tree() -> None:
    """The docstring draws each error below its parent class, and no other error."""
    actual = {
        name: getattr(errors, name).__base__.__name__
        for name in errors.__all__
        if name != "GatewayError"
    }
    assert drawn_tree() == actual


def test_one_root() -> None:
    """Catching GatewayError catches all errors that the gateway raises on purpose."""
    assert all(issubclass(getattr(errors, name), errors.GatewayError) for name in errors.__all__)


def test_a_batch_error_names_an_item() -> None:
    """A BatchError names at least one item."""
    with pytest.raises(ValueError, match="at least one"):
        BatchError({})


def test_a_batch_error_is_not_nested() -> None:
    """The error of an item is no BatchError."""
    inner = BatchError({0: Permanent("x")})
    with pytest.raises(ValueError, match=r"items \[1\]"):
        BatchError({0: Permanent("y"), 1: inner})


def test_a_batch_error_keeps_its_own_mapping() -> None:
    """Later changes to the mapping that was passed change nothing."""
    failed: dict[int, errors.DeliveryError] = {2: Permanent("no such field"), 3: Retryable("later")}
    error = BatchError(failed)
    failed.clear()
    assert list(error.failed) == [2, 3]
    assert str(error) == "2 items failed, the first: no such field"


def test_the_wait_travels_with_the_error() -> None:
    """The wait from a Retry-After header, or from the queue, is in the error."""
    assert Retryable("busy").retry_after_seconds is None
    assert Throttled("slow down", 2.5).retry_after_seconds == 2.5
    assert QueueFull("bytes").retry_after_seconds == 1
    assert QueueFull("bytes", 30).retry_after_seconds == 30
