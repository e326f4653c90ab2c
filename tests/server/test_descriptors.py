"""The limit on file descriptors, and what connections leave of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from gateway.config.settings import ServerConfig
from gateway.server.descriptors import Descriptors


@pytest.fixture(autouse=True)
def _limits_stay() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def set_soft(limit: int) -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < limit:
        pytest.skip("the hard limit is too small")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return hard


def test_the_soft_limit_is_raised_as_far_as_it_is_needed() -> None:
    """At start the soft limit becomes what all connections and the reserve need, without a word."""
    set_soft(400)
    with capture_logs() as logged:
        Descriptors().fit(ServerConfig(max_connections=300, reserved_descriptors=200))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 500
    assert logged == []


def test_a_limit_that_is_too_small_is_told_at_start() -> None:
    """A hard limit below what config permits is logged, with the number of connections that fit."""
    hard = set_soft(400)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("there is no hard limit")
    with capture_logs() as logged:
        Descriptors().fit(ServerConfig(max_connections=hard, reserved_descriptors=100))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    [line] = logged
    assert (line["log_level"], line["connections"]) == ("warning", hard - 100)


def test_connections_leave_the_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are refused while only the reserve is left, and no longer."""
    set_soft(400)
    monkeypatch.setattr("gateway.server.descriptors._raised", lambda needed: 400)
    config = ServerConfig(max_connections=1000, reserved_descriptors=100)
    descriptors = Descriptors()
    with capture_logs():
        assert not descriptors.are_short(config)
        used: list[int] = []
        try:
            while not descriptors.are_short(config):
                used.append(os.dup(0))
            assert used[-1] == 299
            assert os.dup(0) == 300  # the reserve is still there
            os.close(300)
        finally:
            for fd in used:
                os.close(fd)
        assert not descriptors.are_short(config)


def test_a_raised_bound_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reload with more connections the limit is raised again."""
    asked: list[int] = []
    monkeypatch.setattr(
        "gateway.server.descriptors._raised", lambda needed: asked.append(needed) or needed
    )
    descriptors = Descriptors()
    descriptors.fit(small := ServerConfig(max_connections=10, reserved_descriptors=5))
    descriptors.are_short(small)
    descriptors.are_short(ServerConfig(max_connections=20, reserved_descriptors=5))
    assert asked == [15, 25]
