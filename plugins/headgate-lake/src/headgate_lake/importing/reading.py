"""Reads records of files: plain, ``.gz``, or the files of a ``.zip``; one line at a time.

Memory holds at most one line of `MOST_LINE_BYTES`. A file that unpacks to far more than its size is
refused before it can fill a day with work.
"""

from __future__ import annotations

import csv
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from gateway import GatewayError

__all__ = ["MOST_LINE_BYTES", "MOST_RATIO", "Bad", "DamagedFile", "Record", "records_of"]

MOST_LINE_BYTES = 1_000_000
"""Bound on a line; a longer one is refused."""

MOST_RATIO = 200
"""A packed file may unpack to so many times its size, once it is beyond `_RATIO_FROM_BYTES`."""

_RATIO_FROM_BYTES = 1_000_000_000
_TOO_LONG = f"line over {MOST_LINE_BYTES} bytes"
_BOM = b"\xef\xbb\xbf"

csv.field_size_limit(MOST_LINE_BYTES)


class Bad(Exception):
    """A record that cannot be taken; the text is the reason."""


class DamagedFile(GatewayError):
    """A file that cannot be read to its end."""


class Record(NamedTuple):
    """A line that is not blank.

    Attributes:
        mended: bytes that are no UTF-8 were replaced.
    """

    place: str
    fields: dict[str, Any] | Bad
    text: bytes
    mended: bool = False


def records_of(path: Path) -> Iterator[Record]:
    """Yields the records of a file.

    Raises:
        DamagedFile: the file cannot be read, is cut short, or unpacks to too much.
    """
    try:
        for name, file, packed in _members(path):
            lines = _lines(file, packed, name)
            yield from _rows(name, lines) if _is_csv(name) else _objects(name, lines)
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DamagedFile(f"{path}: is damaged or cut short: {error}") from error
    except OSError as error:
        raise DamagedFile(f"{path}: {error.strerror or error}") from error


def _members(path: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """Yields name, content and packed size of each file in a file; size 0 if it is not packed."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for info in sorted(archive.infolist(), key=lambda one: one.filename):
                if info.is_dir() or info.filename.startswith("__MACOSX/"):
                    continue
                with archive.open(info) as file:
                    plain = _unpacked(file, info.filename)
                    yield f"{path.name}/{info.filename}", plain, info.compress_size
        return
    with path.open("rb") as file:
        size = path.stat().st_size if path.suffix == ".gz" else 0
        yield path.name, _unpacked(file, path.name), size


def _unpacked(file: IO[bytes], name: str) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if name.endswith(".gz") else file


def _is_csv(name: str) -> bool:
    return name.removesuffix(".gz").endswith(".csv")


def _lines(file: IO[bytes], packed: int, name: str) -> Iterator[tuple[int, bytes | None]]:
    """Yields number and bytes of each line; None for one over the limit."""
    number = total = 0
    while line := file.readline(MOST_LINE_BYTES + 1):
        number += 1
        fits = len(line) <= MOST_LINE_BYTES
        total += len(line)
        rest = line
        while len(rest) > MOST_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MOST_LINE_BYTES + 1)
            total += len(rest)
            _check_ratio(total, packed, name)
        _check_ratio(total, packed, name)
        yield number, (line.removeprefix(_BOM) if number == 1 else line) if fits else None


def _check_ratio(total: int, packed: int, name: str) -> None:
    if packed and total > _RATIO_FROM_BYTES and total > MOST_RATIO * packed:
        raise DamagedFile(f"{name}: unpacks to over {MOST_RATIO} times its size; unpack it first")


def _objects(name: str, lines: Iterator[tuple[int, bytes | None]]) -> Iterator[Record]:
    for number, line in lines:
        place = f"{name}:{number}"
        if line is None:
            yield Record(place, Bad(_TOO_LONG), b"")
            continue
        text = line.strip()
        if not text:
            continue
        try:
            yield Record(place, _decoder.decode(text), text)
        except msgspec.ValidationError:
            yield Record(place, Bad("no JSON object"), text)
        except UnicodeDecodeError:
            yield Record(place, Bad("bytes that are no UTF-8"), text)
        except (msgspec.DecodeError, RecursionError):
            yield Record(place, Bad("no JSON"), text)


def _rows(name: str, lines: Iterator[tuple[int, bytes | None]]) -> Iterator[Record]:
    """Yields the rows of a CSV file; the first line names the columns."""
    texts = _Texts(lines)
    rows = csv.reader(texts)
    head: list[str] = []
    while True:
        texts.begin()
        try:
            row = next(rows, None)
        except csv.Error as error:
            if not head:
                raise DamagedFile(f"{name}:{texts.number}: {error}") from error
            yield Record(f"{name}:{texts.number}", Bad(str(error)), b"")
            continue  # with the next line
        if row is None:
            return
        place = f"{name}:{texts.number}"
        if not head:
            head = row
        elif row and len(row) != len(head):
            yield Record(place, Bad(f"other than {len(head)} columns"), msgspec.json.encode(row))
        elif row:
            fields = dict(zip(head, row, strict=True))
            yield Record(place, fields, msgspec.json.encode(fields), mended=texts.mended)


class _Texts:
    """The lines of a CSV file as texts; one that cannot be used ends its row alone.

    Attributes:
        number: of the last line.
        mended: the row has bytes that are no UTF-8.
    """

    def __init__(self, lines: Iterator[tuple[int, bytes | None]]) -> None:
        self._lines = lines
        self._bytes = 0
        self.number = 0
        self.mended = False

    def begin(self) -> None:
        """Begins a row."""
        self._bytes, self.mended = 0, False

    def __iter__(self) -> _Texts:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        self._bytes += MOST_LINE_BYTES + 1 if line is None else len(line)
        if line is None or self._bytes > MOST_LINE_BYTES:
            raise csv.Error(_TOO_LONG)
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.mended = True
            return line.decode(errors="replace")


_decoder = msgspec.json.Decoder(dict[str, Any])
