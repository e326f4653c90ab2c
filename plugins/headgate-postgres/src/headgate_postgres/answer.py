"""What an error of the database means for the events. The SQLSTATE decides, never the text.

PostgreSQL, "Error Codes": https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import ssl
from enum import Enum, auto

import asyncpg

from gateway import DeliveryError, Mask, Misconfigured, Permanent, Retryable

__all__ = ["Meaning", "error_of", "meaning_of"]


class Meaning(Enum):
    """What is to be done."""

    AT_ONCE = auto()
    """Others were in the way: the same again, now."""

    CHANGED = auto()
    """The tables are not as we know them: look again, then once more."""

    EVENT = auto()
    """An event of the batch is refused for what is in it."""

    LATER = auto()
    """It passes, or somebody mends it."""

    SETTINGS = auto()
    """Credentials, rights or the database itself are not as they must be."""


_BY_STATE = {
    "0A000": Meaning.CHANGED,  # a cached plan must not change its result
    "22P03": Meaning.CHANGED,  # a value in binary form for a column that has another type now
    "25006": Meaning.LATER,  # read only: a standby, until it is promoted
    "42P01": Meaning.CHANGED,
    "42703": Meaning.CHANGED,
    "42701": Meaning.CHANGED,
    "42P07": Meaning.CHANGED,
    "42710": Meaning.CHANGED,
    "42804": Meaning.CHANGED,
    "P0001": Meaning.EVENT,  # raised by a trigger of the operator's
}
_BY_CLASS = {
    "08": Meaning.LATER,
    "22": Meaning.EVENT,
    "23": Meaning.EVENT,
    "28": Meaning.SETTINGS,
    "3D": Meaning.SETTINGS,
    "3F": Meaning.CHANGED,  # the schema was dropped: it is made again
    "40": Meaning.AT_ONCE,
    "42": Meaning.SETTINGS,
    "44": Meaning.EVENT,
    "54": Meaning.EVENT,
}


def meaning_of(error: BaseException) -> Meaning:
    """What an error that came of writing means."""
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
    """The error to raise once trying again at once has not helped, with what PostgreSQL said."""
    meaning = meaning_of(error)
    said = mask.excerpt(str(error)) or type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        said = f"{said} (SQLSTATE {error.sqlstate})"
        # What the server still misses after a second look is for a person to mend.
        unsolved = Meaning.EVENT if error.sqlstate == "22P03" else Meaning.SETTINGS
    else:
        said = f"no connection: {said}" if isinstance(error, OSError) else said
        unsolved = Meaning.EVENT
    if meaning is Meaning.CHANGED:
        meaning = unsolved
    if meaning is Meaning.EVENT:
        return Permanent(said)
    return Misconfigured(said) if meaning is Meaning.SETTINGS else Retryable(said)
