"""What is known of the users of an arm: sums over users, kept up to date event by event.

Events of one user are alike: who has a broken app has it all day. So it is users that are counted
as independent of each other, not events. For a rate such as rejected over finished events, of which
user ``u`` has ``x_u`` and ``n_u``, it takes the sums of ``x``, ``n``, ``x²``, ``x n`` and ``n²``
over users to know the rate and its error (`gateway.rollouts.guardrails`); these are kept.

Of each user there is a row of seven counts under a hash of the id, never the id. There are at most
so many rows: beyond it those with the higher hashes are let go, and nobody with such a hash is
looked at again. What is left is a sample of users, each with all events.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from gateway.config.groups import Metric

__all__ = [
    "ATTEMPTS",
    "DROPPED",
    "FAILED",
    "FINISHED",
    "REJECTED",
    "SEEN",
    "VIOLATED",
    "ArmFigures",
    "Moments",
    "bucket_of",
    "edge_of",
    "key_of",
    "quantile",
]

SEEN, DROPPED, VIOLATED, ATTEMPTS, FAILED, FINISHED, REJECTED = range(7)
"""Counts of a user: events read for a destination, of these dropped by a transform, of these in
violation of a tracking plan; attempts to deliver an event, of these failed; events that were
delivered or rejected for good, of these rejected."""

_PARTS = {DROPPED: SEEN, VIOLATED: SEEN, FAILED: ATTEMPTS, REJECTED: FINISHED}
_SHARES: Mapping[Metric, int] = {
    "error_rate": FAILED,
    "rejection_rate": REJECTED,
    "violation_rate": VIOLATED,
    "dropped_share": DROPPED,
}
_WHOLES = {whole: [p for p, w in _PARTS.items() if w == whole] for whole in _PARTS.values()}
_ALL_HASHES = 1 << 64
_STEP = math.log(1.04)
_LEAST_MS = 0.1


def key_of(id_: str) -> int:
    """What a user is known by here."""
    digest = blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def bucket_of(took_ms: float) -> int:
    """The bucket of a time; each ends 4 % above the one before."""
    return math.ceil(math.log(max(took_ms, _LEAST_MS)) / _STEP)


def edge_of(bucket: int) -> float:
    """The longest time in a bucket, in milliseconds."""
    return math.exp(bucket * _STEP)


def quantile(times: Mapping[int, int], share: float) -> int:
    """The first bucket up to whose end there are so many of all times, of which there are some."""
    left = share * sum(times.values())
    for bucket in sorted(times):
        left -= times[bucket]
        if left <= 1e-9:
            return bucket
    return max(times)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over clusters, for the ratio of ``x`` to ``n``."""

    clusters: int
    x: float
    n: float
    xx: float
    xn: float
    nn: float

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.clusters + other.clusters,
            self.x + other.x,
            self.n + other.n,
            self.xx + other.xx,
            self.xn + other.xn,
            self.nn + other.nn,
        )

    @property
    def ratio(self) -> float:
        """Sum of ``x`` over sum of ``n``; 0 where there is nothing."""
        return self.x / self.n if self.n else 0.0

    @property
    def spread(self) -> float:
        """Variance of a cluster's part in the ratio, by the delta method; over `clusters` it is
        that of the ratio.
        """
        ratio = self.ratio
        squares = self.xx - 2 * ratio * self.xn + ratio * ratio * self.nn
        return max(0.0, squares) * self.clusters / self.n**2 * self.clusters / (self.clusters - 1)


class ArmFigures:
    """One arm.

    Attributes:
        times: bucket to the number of sends that took so long; see `bucket_of`.

    Args:
        max_users: rows kept at most.
    """

    def __init__(self, max_users: int) -> None:
        self.times: Counter[int] = Counter()
        self._max_users = max_users
        self._below = _ALL_HASHES
        self._rows: dict[int, list[int]] = {}
        self._clear_sums()

    def _clear_sums(self) -> None:
        self._users = [0] * 7
        self._sums = [0] * 7
        self._squares = [0] * 7
        self._products = dict.fromkeys(_PARTS, 0)

    @property
    def users(self) -> int:
        """Users with an event."""
        return self._users[SEEN]

    def add(self, user: int, count: int, number: int = 1) -> None:
        """Add to a count of a user.

        Args:
            user: as of `key_of`.
        """
        row = self._rows.get(user)
        if row is None:
            if user >= self._below:
                return
            row = self._rows[user] = [0] * 7
            if len(self._rows) > self._max_users:
                self._thin()
                if user >= self._below:
                    return
                row = self._rows[user]
        self._add(row, count, number)

    def _add(self, row: list[int], count: int, number: int) -> None:
        before = row[count]
        row[count] = before + number
        self._users[count] += not before
        self._sums[count] += number
        self._squares[count] += number * (2 * before + number)
        whole = _PARTS.get(count)
        if whole is not None:
            self._products[count] += number * row[whole]
        else:
            for part in _WHOLES[count]:
                self._products[part] += number * row[part]

    def _thin(self) -> None:
        """Let go of the half of all hashes that is higher."""
        while len(self._rows) > self._max_users:
            self._below //= 2
            self._rows = {user: row for user, row in self._rows.items() if user < self._below}
        rows, self._rows = self._rows, {}
        self._clear_sums()
        for user, row in rows.items():
            mine = self._rows[user] = [0] * 7
            for count, number in enumerate(row):
                if number:
                    self._add(mine, count, number)

    def share(self, metric: Metric) -> Moments:
        """The sums for a metric that is a share of a user's events or attempts."""
        part = _SHARES[metric]
        whole = _PARTS[part]
        return Moments(
            self._users[whole],
            self._sums[part],
            self._sums[whole],
            self._squares[part],
            self._products[part],
            self._squares[whole],
        )

    def events_per_user(self) -> Moments:
        """The sums for the number of events of a user."""
        users, events = self._users[SEEN], self._sums[SEEN]
        return Moments(users, events, users, self._squares[SEEN], events, users)

    def slower_than(self, bucket: int) -> Moments:
        """The sums for the share of sends that took longer than a bucket has."""
        sends = self.times.total()
        slow = sum(number for place, number in self.times.items() if place > bucket)
        return Moments(sends, slow, sends, slow, slow, sends)
