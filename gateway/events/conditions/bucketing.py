"""Maps an id to a share of all ids, by a pure function that an app can compute too.

With ``salt`` and ``id`` as UTF-8::

    position = first 8 bytes of SHA-256(salt + "\\n" + id), as a big-endian number, / 2**64 * 100
    the id is in the share if position < percent

When the percentage rises, all ids of the share stay in it. Shares with different salts are
independent of each other.
"""

from __future__ import annotations

import hashlib

__all__ = ["STEPS_PER_PERCENT", "Share", "check_percent", "in_share", "position", "sample_salt"]

STEPS_PER_PERCENT = 1000
"""Percentages have at most three decimals, so every program computes the same bound."""

_ALL_STEPS = 100 * STEPS_PER_PERCENT
_WORD = 8  # bytes of a digest that are used


class Share:
    """A share of all ids.

    Args:
        percent: from 0 to 100, with at most three decimals.
    """

    __slots__ = ("_prefix", "_threshold")

    def __init__(self, salt: str, percent: float) -> None:
        self._prefix = _prefix(salt)
        self._threshold = _threshold(percent)

    def __contains__(self, id_: str) -> bool:
        # Comparing the bytes gives the same result as comparing the numbers.
        return self._threshold is None or _digest(self._prefix, id_) < self._threshold


def in_share(salt: str, id_: str, percent: float) -> bool:
    """Tells whether an id is among `percent` of all ids."""
    return id_ in Share(salt, percent)


def position(salt: str, id_: str) -> float:
    """Returns the position of an id among all ids, from 0 to less than 100, as a double."""
    return int.from_bytes(_digest(_prefix(salt), id_)[:_WORD], "big") / 2**64 * 100


def check_percent(percent: float, name: str = "percent") -> None:
    """Raises `ValueError` for a percentage with more than three decimals."""
    steps = percent * STEPS_PER_PERCENT
    if abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"{name}: {percent} has more than three decimals")


def sample_salt(id_: str, salt: str | None) -> str:
    """Returns the salt of a sample by the id of its transform and the salt in its table."""
    return f"sample:{id_}" if salt is None else salt


def _prefix(salt: str) -> bytes:
    return f"{salt}\n".encode("utf-8", "surrogatepass")


def _digest(prefix: bytes, id_: str) -> bytes:
    return hashlib.sha256(prefix + id_.encode("utf-8", "surrogatepass")).digest()


def _threshold(percent: float) -> bytes | None:
    """Returns the bound that digests of the share are below; None if all ids are in it."""
    steps = round(percent * STEPS_PER_PERCENT)
    return None if steps >= _ALL_STEPS else (steps * 2**64 // _ALL_STEPS).to_bytes(_WORD, "big")
