"""``sample``: lets the events of a fixed share of users through, the same users every time.

Whether an id belongs to the share follows from the id alone, so it can be worked out anywhere, by
the app itself for instance. With ``salt`` and ``id`` as UTF-8::

    position = first 8 bytes of SHA-256(salt + "\\n" + id), as a big-endian number, / 2**64 * 100
    the id is in the sample if position < percent

Whoever is in the sample stays in it when the percentage rises. Different salts give samples that
have nothing to do with each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from gateway.component import Context, Transform, TransformSpec
from gateway.event import Event
from gateway.hookspecs import hookimpl
from gateway.path import EVERY, FIELDS, Path, parse_path, reader

__all__ = ["Sample", "SampleConfig", "in_sample", "register_transforms"]

_STEPS_PER_PERCENT = 1000  # percentages have at most three decimals
_ALL_STEPS = 100 * _STEPS_PER_PERCENT
_LARGEST_EXACT = 2**53

_Reader: TypeAlias = Callable[[Event], Any]


class SampleConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a sample.

    Attributes:
        percent: share that is let through, 0 to 100, with at most three decimals.
        by: what is sampled: ``user`` (`userId`, else `anonymousId`), ``anonymous``
            (`anonymousId`), ``group`` (`groupId`, else `context.groupId`), ``event``
            (`messageId`), or a path such as ``properties.account_id``.
        salt: samples with the same salt choose the same ids; by default the transform's own id.
        missing: what happens to events without the id.
        invert: let the others through instead: the control group.
    """

    percent: Annotated[float, Meta(ge=0, le=100)]
    by: str = "user"
    salt: str | None = None
    missing: Literal["keep", "drop"] = "drop"
    invert: bool = False

    def __post_init__(self) -> None:
        steps = self.percent * _STEPS_PER_PERCENT
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(f"percent: {self.percent} has more than three decimals")
        _reader_of(self.by)


def in_sample(salt: str, id_: str, percent: float) -> bool:
    """Whether an id is among `percent` of all ids; see the module for the formula."""
    threshold = _threshold(percent)
    return threshold is None or _digest(_prefix(salt), id_) < threshold


class Sample(Transform):
    """The transform.

    Args:
        salt: what `config.salt` is if it is not set.
    """

    mutates = False

    def __init__(self, config: SampleConfig, salt: str) -> None:
        self._read = _reader_of(config.by)
        self._prefix = _prefix(salt if config.salt is None else config.salt)
        self._threshold = _threshold(config.percent)
        self._kept = not config.invert
        self._missing_kept = config.missing == "keep"

    def apply(self, events: list[Event]) -> list[Event]:
        """The events whose id is in the sample."""
        read, decided = self._read, {None: self._missing_kept}
        kept = []
        for event in events:
            id_ = read(event)
            if not isinstance(id_, str) or not id_:
                id_ = _text_of(id_)
            # One batch often has many events of one user; what is known is forgotten after it.
            keep = decided.get(id_)
            if keep is None:
                keep = decided[id_] = self._decide(id_)
            if keep:
                kept.append(event)
        return kept if len(kept) < len(events) else events

    def _decide(self, id_: str | None) -> bool:
        assert id_ is not None
        threshold = self._threshold
        chosen = threshold is None or _digest(self._prefix, id_) < threshold
        return chosen is self._kept


def _prefix(salt: str) -> bytes:
    return f"{salt}\n".encode("utf-8", "surrogatepass")


def _digest(prefix: bytes, id_: str) -> bytes:
    return hashlib.sha256(prefix + id_.encode("utf-8", "surrogatepass")).digest()


def _threshold(percent: float) -> bytes | None:
    """Digests below it are in the sample; None if all are.

    Comparing the bytes of a digest with eight bytes gives what comparing the numbers would.
    """
    steps = round(percent * _STEPS_PER_PERCENT)
    return None if steps >= _ALL_STEPS else (steps * 2**64 // _ALL_STEPS).to_bytes(8, "big")


def _text_of(value: object) -> str | None:
    """A whole number as its digits, however a client writes it (12, 12.0); else there is no id."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not (abs(value) < _LARGEST_EXACT and value.is_integer()):
        return None
    return str(int(value))


def _reader_of(by: str) -> _Reader:
    named = _BY.get(by)
    if named is not None:
        return named
    try:
        path = parse_path(by)
    except ValueError as error:
        choices = ", ".join(_BY)
        raise ValueError(f"by: {error} There are also: {choices}") from None
    if EVERY in path.steps or (path.root not in FIELDS and not path.steps):
        raise ValueError(f"by: {by!r} is not a single value")
    return reader(path)


def _by_user(event: Event) -> str | None:
    return event.user_id or event.anonymous_id


_context_group = reader(Path("context", ("groupId",)))


def _by_group(event: Event) -> Any:
    return event.group_id or _context_group(event)


_BY: dict[str, _Reader] = {
    "user": _by_user,
    "anonymous": reader(Path("anonymousId")),
    "group": _by_group,
    "event": reader(Path("messageId")),
}


def _build(config: SampleConfig, context: Context) -> Sample:
    return Sample(config, context.id)


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Register ``sample``."""
    register(TransformSpec("sample", SampleConfig, _build))
