"""How long to wait before the next attempt. Pure: no clock, no I/O."""

from __future__ import annotations

import random

from gateway.config.settings import RetryPolicy

__all__ = ["backoff_seconds"]


def backoff_seconds(
    attempt: int, policy: RetryPolicy, asked_seconds: float | None, rng: random.Random
) -> float:
    """How long to wait after attempt number `attempt` (from 1) failed.

    Exponential with full jitter, which spreads the load of many clients best, see
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. What the destination
    asked for is honoured up to ``max_seconds``, with up to a tenth added at random so that not
    everybody comes back in the same instant.
    """
    # 2 ** 30 seconds are decades: the bound below applies long before.
    ceiling = min(policy.max_seconds, policy.initial_seconds * 2 ** min(attempt - 1, 30))
    if asked_seconds is not None and asked_seconds > 0:
        return min(asked_seconds, policy.max_seconds) * rng.uniform(1.0, 1.1)
    return rng.uniform(0, ceiling)
