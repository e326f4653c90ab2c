"""Which share of all ids an id belongs to: a pure function, that an app can compute as well.

With ``salt`` and ``id`` as UTF-8::

    position = first 8 bytes of SHA-256(salt + "\\n" + id), as a big-endian number, / 2**64 * 100
    the id is in the share if position < percent

An id that is in a share stays in it when the percentage rises. Different salts give shares that
have nothing to do with each other.
"""

from __future__ import annotations

import hashlib

__all__ = ["STEPS_PER_PERCENT", "Share", "check_percent", "in_share", "position"]

STEPS_PER_PERCENT = 1000
"""Percentages have at most three decimals, so that every program computes the same bound."""

_ALL_STEPS = 100 * STEPS_PER_PERCENT
_WORD = 8  # bytes of a digest that count


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
        # Comparing the bytes of a digest with eight bytes gives what comparing the numbers would.
        return self._threshold is None or _digest(self._prefix, id_) < self._threshold


def in_share(salt: str, id_: str, percent: float) -> bool:
    """Whether an id is among `percent` of all ids."""
    return id_ in Share(salt, percent)


def position(salt: str, id_: str) -> float:
    """Where an id stands among all, from 0 to less than 100, to within what a double holds."""
    return int.from_bytes(_digest(_prefix(salt), id_)[:_WORD], "big") / 2**64 * 100


def check_percent(percent: float, name: str = "percent") -> None:
    """Raise `ValueError` unless it is a percentage with at most three decimals."""
    steps = percent * STEPS_PER_PERCENT
    if abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"{name}: {percent} has more than three decimals")


def _prefix(salt: str) -> bytes:
    return f"{salt}\n".encode("utf-8", "surrogatepass")


def _digest(prefix: bytes, id_: str) -> bytes:
    return hashlib.sha256(prefix + id_.encode("utf-8", "surrogatepass")).digest()


def _threshold(percent: float) -> bytes | None:
    """Digests below it are in the share; None if all are."""
    steps = round(percent * STEPS_PER_PERCENT)
    return None if steps >= _ALL_STEPS else (steps * 2**64 // _ALL_STEPS).to_bytes(_WORD, "big")
