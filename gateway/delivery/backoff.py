"""Computes the wait before the next attempt. Pure: no clock, no I/O."""

from __future__ import annotations

import random

from gateway.config.settings import RetryPolicy

__all__ = ["backoff_seconds"]


def backoff_seconds(
    attempt: int, policy: RetryPolicy, asked_seconds: float | None, rng: random.Random
) -> float:
    """Returns the wait after attempt number `attempt` (from 1) failed.

    The wait grows exponentially with full jitter, which spreads the load of many clients best, see
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. If the destination
    asked for a wait, that is used, up to ``max_seconds``. Up to a tenth is added at random, so that
    not all clients come back at the same instant.
    """
    # 2 ** 30 seconds are decades; `max_seconds` applies long before.
    ceiling = min(policy.max_seconds, policy.initial_seconds * 2 ** min(attempt - 1, 30))
    if asked_seconds is not None and asked_seconds > 0:
        return min(asked_seconds, policy.max_seconds) * rng.uniform(1.0, 1.1)
    return rng.uniform(0, ceiling)
