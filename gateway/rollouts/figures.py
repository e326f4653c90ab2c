"""Figures of one arm: sums over its users, updated event by event.

Events of one user are alike: a broken app is broken all day. So users count as independent
observations, not events. For a rate such as rejected over finished events, user ``u`` has ``x_u``
rejected of ``n_u`` finished events. The rate and its error (`gateway.rollouts.guardrails`) need
only the sums of ``x``, ``n``, ``x²``, ``x n`` and ``n²`` over users, and these are kept.

Each user has a row of seven counts under a hash of the id, never the id itself. The number of rows
is bounded: beyond it, rows with the higher hashes are removed and users with such hashes are
ignored from then on. The rest is a sample of users, each with all its events.
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
"""Indexes of the counts of a user.

Of the events read for a destination (`SEEN`): those dropped by a transform, and those in violation
of a tracking plan. Of the attempts to deliver an event: those that failed. Of the events delivered
or rejected for good (`FINISHED`): those rejected.
"""

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
    """Hashes the id of a user to 64 bits."""
    digest = blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def bucket_of(took_ms: float) -> int:
    """Returns the bucket of a duration; each bucket ends 4 % above the previous one."""
    return math.ceil(math.log(max(took_ms, _LEAST_MS)) / _STEP)


def edge_of(bucket: int) -> float:
    """Returns the longest duration of a bucket, in milliseconds."""
    return math.exp(bucket * _STEP)


def quantile(times: Mapping[int, int], share: float) -> int:
    """Returns the first bucket that reaches a share of all times; there must be some."""
    left = share * sum(times.values())
    for bucket in sorted(times):
        left -= times[bucket]
        if left <= 1e-9:
            return bucket
    return max(times)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over clusters (users or sends), for the ratio of ``x`` to ``n``."""

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
        """The sum of ``x`` over the sum of ``n``; 0 without data."""
        return self.x / self.n if self.n else 0.0

    @property
    def spread(self) -> float:
        """The variance of one cluster's part in the ratio, by the delta method.

        Divided by `clusters` it is the variance of the ratio.
        """
        ratio = self.ratio
        squares = self.xx - 2 * ratio * self.xn + ratio * ratio * self.nn
        return max(0.0, squares) * self.clusters / self.n**2 * self.clusters / (self.clusters - 1)


class ArmFigures:
    """The figures of one arm.

    Attributes:
        times: number of sends by the bucket of their duration; see `bucket_of`.

    Args:
        max_users: largest number of rows.
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
        """The number of users with an event."""
        return self._users[SEEN]

    def add(self, user: int, count: int, number: int = 1) -> None:
        """Adds to a count of a user.

        Args:
            user: hash from `key_of`.
            count: index of the count, such as `SEEN`.
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
        """Removes the users in the upper half of the hashes, until the rest fits."""
        while len(self._rows) > self._max_users:
            self._below //= 2
            self._rows = {user: row for user, row in self._rows.items() if user < self._below}
        rows, self._rows = self._rows, {}
        self._clear_sums()
        for user, row in rows.items():
            kept = self._rows[user] = [0] * 7
            for count, number in enumerate(row):
                if number:
                    self._add(kept, count, number)

    def share(self, metric: Metric) -> Moments:
        """Returns the sums for a metric that is a share of a user's events or attempts."""
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
        """Returns the sums for the number of events per user."""
        users, events = self._users[SEEN], self._sums[SEEN]
        return Moments(users, events, users, self._squares[SEEN], events, users)

    def slower_than(self, bucket: int) -> Moments:
        """Returns the sums for the share of sends in later buckets."""
        sends = self.times.total()
        slow = sum(number for place, number in self.times.items() if place > bucket)
        return Moments(sends, slow, sends, slow, slow, sends)
