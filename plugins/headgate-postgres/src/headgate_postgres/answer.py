"""Errors of the database, and their meaning for events. The SQLSTATE decides, never the text.

PostgreSQL, "Error Codes": https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import ssl
from enum import Enum, auto

import asyncpg

from gateway import DeliveryError, Mask, Misconfigured, Permanent, Retryable

__all__ = ["Meaning", "error_of", "meaning_of"]


class Meaning(Enum):
    """The reaction to an error."""

    AT_ONCE = auto()
    """Try the same again at once: there was a conflict with others."""

    CHANGED = auto()
    """Load the tables again and retry: they have changed."""

    EVENT = auto()
    """Give up an event: the database refuses its content."""

    LATER = auto()
    """Retry later: the problem may pass."""

    SETTINGS = auto()
    """Wait for a person: credentials, rights or the database are wrong."""


_BY_STATE = {
    "0A000": Meaning.CHANGED,  # "cached plan must not change result type"
    "22P03": Meaning.CHANGED,  # a value in binary form for a column whose type has changed
    "25006": Meaning.LATER,  # read-only: a standby before its promotion
    "42P01": Meaning.CHANGED,
    "42703": Meaning.CHANGED,
    "42701": Meaning.CHANGED,
    "42P07": Meaning.CHANGED,
    "42710": Meaning.CHANGED,
    "42804": Meaning.CHANGED,
    "P0001": Meaning.EVENT,  # raised by a trigger of the operator
}
_BY_CLASS = {
    "08": Meaning.LATER,
    "22": Meaning.EVENT,
    "23": Meaning.EVENT,
    "28": Meaning.SETTINGS,
    "3D": Meaning.SETTINGS,
    "3F": Meaning.CHANGED,  # the schema was dropped; it is created again
    "40": Meaning.AT_ONCE,
    "42": Meaning.SETTINGS,
    "44": Meaning.EVENT,
    "54": Meaning.EVENT,
}


def meaning_of(error: BaseException) -> Meaning:
    """Returns the meaning of an error while writing."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], Meaning.LATER)
    if isinstance(error, ssl.SSLCertVerificationError | asyncpg.ClientConfigurationError):
        return Meaning.SETTINGS
    if isinstance(error, OSError | TimeoutError):
        return Meaning.LATER
    if isinstance(error, ArithmeticError | AttributeError | TypeError | ValueError):
        return Meaning.CHANGED  # the driver cannot encode a value for the column's type
    return Meaning.LATER


def error_of(error: BaseException, mask: Mask) -> DeliveryError:
    """Returns the error to raise after retries have not helped, with PostgreSQL's message."""
    meaning = meaning_of(error)
    said = mask.excerpt(str(error)) or type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        said = f"{said} (SQLSTATE {error.sqlstate})"
        # The tables were loaded again, and still do not fit: a person has to mend them.
        unsolved = Meaning.EVENT if error.sqlstate == "22P03" else Meaning.SETTINGS
    else:
        said = f"no connection: {said}" if isinstance(error, OSError) else said
        unsolved = Meaning.EVENT
    if meaning is Meaning.CHANGED:
        meaning = unsolved
    if meaning is Meaning.EVENT:
        return Permanent(said)
    return Misconfigured(said) if meaning is Meaning.SETTINGS else Retryable(said)
