"""The messages between a `runner.Runner` and its child, and their encoding.

::

    runner                         child
    Job          ─────────────▶    checks the SQL
                 ◀─────────────    Names      the views that it reads
    Look         ─────────────▶    (if views of events have to be worked out)
                 ◀─────────────    Rows, End
    Go or Drop   ─────────────▶    makes the views, locks itself in, runs the SQL
                 ◀─────────────    Header, Rows, Rows, ..., End

A `Failure` of the child may take the place of each of its messages. A message is its length in four
bytes, then MessagePack. Values that MessagePack does not know are extensions with their text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any, TypeVar
from uuid import UUID

import msgspec

__all__ = [
    "Drop",
    "End",
    "Ended",
    "Failure",
    "FromChild",
    "Go",
    "Header",
    "Job",
    "Look",
    "Names",
    "Rows",
    "ToChild",
    "decoder_of",
    "encode",
    "pack",
    "read",
    "unpack",
]

_LENGTH = struct.Struct("<I")
_T = TypeVar("_T")


class Ended(Exception):
    """The other end has closed the connection."""


class Job(msgspec.Struct, tag="job", kw_only=True):
    """A query, without what it may read."""

    sql: str
    parameters: list[Any] | dict[str, Any] | None
    trusted: bool
    zone: str
    threads: int
    memory_bytes: int
    spill_bytes: int
    folder: str
    max_rows: int
    max_answer_bytes: int
    parquet: bool


class Look(msgspec.Struct, tag="look"):
    """A statement of our own, to run before the query."""

    sql: str


class Go(msgspec.Struct, tag="go", kw_only=True):
    """The views of a query and the files below them."""

    setup: list[str]
    files: list[str]


class Drop(msgspec.Struct, tag="drop"):
    """The query does not run after all."""


class Names(msgspec.Struct, tag="names"):
    """Names of the tables in the SQL of a query, with their places in it, in bytes."""

    places: dict[str, tuple[int, int]]


class Header(msgspec.Struct, tag="header"):
    """Names and types of an answer's columns."""

    columns: list[tuple[str, str]]


class Rows(msgspec.Struct, tag="rows"):
    """Rows of an answer."""

    rows: list[tuple[Any, ...]]


class End(msgspec.Struct, tag="end", kw_only=True):
    """The end of an answer.

    Attributes:
        reusable: the child takes another `Job`.
    """

    truncated: bool
    rows: int
    reusable: bool = False


class Failure(msgspec.Struct, tag="failure", kw_only=True):
    """The reason for which there is no answer.

    Attributes:
        kind: class of the error: refused, memory, spill, files, or DuckDB's name of it.
        place: first byte and length of what is wrong in the SQL.
        name, candidates: a name that is unknown, and known ones like it.
        reusable: as for `End`.
    """

    kind: str
    message: str
    place: tuple[int, int] | None = None
    name: str = ""
    candidates: list[str] = []
    reusable: bool = False


FromChild = Names | Header | Rows | End | Failure
ToChild = Job | Look | Go | Drop


def decoder_of(kinds: Any) -> Callable[[bytes], Any]:
    """Returns a function that decodes messages of a union."""
    return msgspec.msgpack.Decoder(kinds, ext_hook=_from_extension).decode


_encoder = msgspec.msgpack.Encoder()


def encode(message: FromChild | ToChild) -> bytes:
    """Returns a message with its length before it."""
    data = _encoder.encode(message)
    return _LENGTH.pack(len(data)) + data


def read(stream: IO[bytes], max_bytes: int) -> bytes:
    """Reads a message.

    Raises:
        Ended: there is none, or not all of it.
        ValueError: it is longer than `max_bytes`.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise Ended
    (length,) = _LENGTH.unpack(head)
    if length > max_bytes:
        raise ValueError(f"a message of {length} bytes")
    data = stream.read(length)
    if len(data) < length:
        raise Ended
    return data


def pack(value: Any) -> Any:
    """Returns a value of DuckDB as one that `encode` takes and `unpack` restores."""
    if value is None or isinstance(value, bool | float | str | bytes):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else _extension(1, str(value))
    if isinstance(value, list | tuple):
        return [pack(item) for item in value]
    if isinstance(value, dict):
        return {_key(key): pack(item) for key, item in value.items()}
    if isinstance(value, timedelta):
        return _extension(6, f"{value.days} {value.seconds} {value.microseconds}")
    for code, kind in _CODES.items():
        if isinstance(value, kind):
            return _extension(code, str(value))
    return str(value)


def unpack(data: bytes, kind: type[_T]) -> _T:
    """Decodes one message of a kind."""
    return msgspec.msgpack.decode(data, type=kind, ext_hook=_from_extension)


def _key(key: Any) -> Any:
    # An extension cannot be a key, as it has no hash.
    packed = pack(key)
    return str(key) if isinstance(packed, list | dict | msgspec.msgpack.Ext) else packed


def _extension(code: int, text: str) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, text.encode())


# datetime stands before date, of which it is a kind.
_CODES: dict[int, type] = {2: Decimal, 3: datetime, 4: date, 5: time, 7: UUID}

_READERS: dict[int, Callable[[str], Any]] = {
    1: int,
    2: Decimal,
    3: datetime.fromisoformat,
    4: date.fromisoformat,
    5: time.fromisoformat,
    6: lambda text: timedelta(*map(int, text.split())),
    7: UUID,
}


def _from_extension(code: int, data: memoryview) -> Any:
    return _READERS[code](bytes(data).decode())
