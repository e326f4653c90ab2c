"""Delays for addresses that keep naming wrong keys or tokens."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["MOST_SECONDS", "Slowdown"]

MOST_SECONDS = 5.0
"""Longest delay of one answer."""

_BURST_SECONDS = 10.0
"""An address may fail as often as in this time before it is delayed."""

_MOST_ADDRESSES = 10_000
"""Addresses that are remembered; beyond it those that failed longest ago are forgotten."""

_IPV6_PREFIX = 64


class Slowdown:
    """Counts failures of addresses, and tells how long each has to wait.

    An IPv6 address stands for its network of 64 bits, which one customer has.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def failed(self, address: str | None, per_second: float) -> None:
        """Counts a failure.

        Args:
            address: None where there is none, as on a Unix socket; it is never delayed.
            per_second: failures that are forgiven per second; 0 switches delays off.
        """
        if address is None or not per_second:
            return
        key = _network(address)
        self._failures[key] = (self._left(key, per_second) + 1.0, self._clock())
        self._failures.move_to_end(key)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def delay_seconds(self, address: str | None, per_second: float) -> float:
        """Returns how long the next answer to an address is to be delayed; arguments as above."""
        if address is None or not per_second or not self._failures:
            return 0.0
        over = self._left(_network(address), per_second) - per_second * _BURST_SECONDS
        return min(MOST_SECONDS, max(0.0, over / per_second))

    def _left(self, key: str, per_second: float) -> float:
        """Returns the failures of an address that are not forgiven yet."""
        failures, at = self._failures.get(key, (0.0, 0.0))
        return max(0.0, failures - (self._clock() - at) * per_second)


def _network(address: str) -> str:
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
