"""Addresses that keep naming wrong secrets."""

from __future__ import annotations

from gateway.http.slowdown import MOST_SECONDS, Slowdown


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_some_failures_are_free_and_more_are_delayed() -> None:
    """An address is delayed once it fails more often than a burst, ever longer up to a bound."""
    slow = Slowdown(Clock())
    delays = []
    for _ in range(200):
        slow.failed("1.2.3.4", 2.0)
        delays.append(slow.delay_seconds("1.2.3.4", 2.0))
    assert delays[:20] == [0.0] * 20
    assert delays[20:23] == [0.5, 1.0, 1.5]
    assert delays == sorted(delays)
    assert delays[-1] == MOST_SECONDS
    assert slow.delay_seconds("1.2.3.5", 2.0) == 0


def test_failures_are_forgiven() -> None:
    """After a pause an address is not delayed any more."""
    clock = Clock()
    slow = Slowdown(clock)
    for _ in range(40):
        slow.failed("1.2.3.4", 2.0)
    assert slow.delay_seconds("1.2.3.4", 2.0) == 5.0
    clock.seconds += 9
    assert slow.delay_seconds("1.2.3.4", 2.0) == 1.0
    clock.seconds += 1
    assert slow.delay_seconds("1.2.3.4", 2.0) == 0


def test_a_network_of_ipv6_is_one_address() -> None:
    """Whoever has a network of 64 bits cannot take another address for each guess."""
    slow = Slowdown(Clock())
    for number in range(100):
        slow.failed(f"2001:db8::{number:x}", 1.0)
    assert slow.delay_seconds("2001:db8::ffff", 1.0) == MOST_SECONDS
    assert slow.delay_seconds("2001:db8:0:1::1", 1.0) == 0


def test_addresses_are_bounded() -> None:
    """However many addresses fail, memory is bounded; the latest are remembered."""
    slow = Slowdown(Clock())
    for number in range(20_000):
        slow.failed(f"10.0.{number >> 8}.{number & 255}", 1.0)
    assert len(slow._failures) == 10_000
    assert "10.0.78.31" in slow._failures


def test_nobody_is_delayed_without_an_address_or_a_rate() -> None:
    """Callers on a Unix socket are never delayed, and 0 switches delays off."""
    slow = Slowdown(Clock())
    for _ in range(100):
        slow.failed(None, 1.0)
        slow.failed("1.2.3.4", 0.0)
    assert slow.delay_seconds(None, 1.0) == slow.delay_seconds("1.2.3.4", 0.0) == 0
