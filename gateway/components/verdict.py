"""Judges what an error means for the events of a batch. Pure: no clock, no I/O."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass, field

from gateway.errors import (
    BatchError,
    DeliveryError,
    Misconfigured,
    Permanent,
    PluginCrash,
    Retryable,
    Throttled,
)

__all__ = ["Verdict", "describe", "judge", "trace_of"]

_MAX_DETAIL = 500


@dataclass(slots=True)
class Verdict:
    """The outcome of each item of a batch, by index.

    An item that is neither in `dead` nor in `again` was delivered.

    Attributes:
        dead: maps an item to the reason why it will never be accepted.
        again: items to send again.
        whole: no single event is to blame: the destination failed as a whole, or is overloaded or
            wrongly set up.
        suspicious: the failure is of the whole batch, and a single event may have caused it.
        divide: the batch was refused for good as a whole, which does not tell whose fault that is.
            Parts of it are to be sent at once.
        paused: settings or credentials are wrong.
        retry_after_seconds: the wait that the destination asked for.
        detail: the first error, in words.
        again_detail: maps an item of `again` to its own error.
        exchanges: maps an item to an excerpt of the failed request and its answer, if there is one.
    """

    dead: dict[int, str] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)
    whole: bool = False
    suspicious: bool = False
    divide: bool = False
    paused: bool = False
    retry_after_seconds: float | None = None
    detail: str = ""
    again_detail: dict[int, str] = field(default_factory=dict)
    exchanges: dict[int, str] = field(default_factory=dict)


def judge(error: Exception, size: int) -> Verdict:
    """Sorts the items of a batch of `size` that failed with `error`."""
    if not isinstance(error, BatchError):
        verdict = Verdict(detail=describe(error))
        exchange = _exchange(error)
        if exchange:
            verdict.exchanges = dict.fromkeys(range(size), exchange)
        if isinstance(error, Permanent) and size > 1:
            verdict.again = list(range(size))
            verdict.divide = True
        elif isinstance(error, Permanent):
            verdict.dead = dict.fromkeys(range(size), verdict.detail)
        else:
            verdict.again = list(range(size))
            verdict.whole = True
            verdict.paused = isinstance(error, Misconfigured)
            verdict.suspicious = not isinstance(error, Misconfigured | Throttled)
            verdict.retry_after_seconds = _asked_wait(error)
        return verdict
    verdict = Verdict(detail=describe(next(iter(error.failed.values()))))
    waits = []
    blamed = False
    for index, item_error in sorted(error.failed.items()):
        if not 0 <= index < size:
            continue  # the destination names an item that it was not given
        exchange = _exchange(item_error)
        if exchange:
            verdict.exchanges[index] = exchange
        if isinstance(item_error, Permanent):
            verdict.dead[index] = describe(item_error)
        else:
            verdict.again.append(index)
            verdict.again_detail[index] = describe(item_error)
            verdict.paused |= isinstance(item_error, Misconfigured)
            blamed |= not isinstance(item_error, Misconfigured | Throttled)
            waits.append(_asked_wait(item_error))
    verdict.whole = bool(verdict.again) and not blamed
    verdict.retry_after_seconds = max((w for w in waits if w is not None), default=None)
    return verdict


def _exchange(error: Exception) -> str:
    return error.exchange if isinstance(error, DeliveryError) else ""


def _asked_wait(error: Exception) -> float | None:
    return error.retry_after_seconds if isinstance(error, Retryable) else None


def describe(error: Exception) -> str:
    """Returns an error as one bounded line that may be logged and shown.

    A destination writes the text of a `DeliveryError` for that purpose, the gateway that of a
    `PluginCrash`. The text of any other error may quote an event, or a URL with a secret. Of such
    an error the line has the class only, and the operating system's message.
    """
    if isinstance(error, DeliveryError | PluginCrash):
        text = " ".join(str(error).split()) or type(error).__name__
    else:
        text = type(error).__name__
        if isinstance(error, OSError) and error.errno is not None:
            text += f": {os.strerror(error.errno)}"
    return text if len(text) <= _MAX_DETAIL else text[: _MAX_DETAIL - 1] + "…"


def trace_of(error: BaseException) -> str:
    """Returns where an error came from, without its text, which may quote an event."""
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(trace_of(inner) for inner in error.exceptions)
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{frames}{type(error).__name__}"
