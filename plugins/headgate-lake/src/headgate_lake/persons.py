"""An index of the ids in a file, so that one person's files are found without opening the others.

It holds the numbers (`headgate_lake.person_of`) of persons, userIds, anonymousIds and previousIds
of a file, as a Bloom filter: it never misses an id that is there, and takes one file in three
hundred for one that holds an id that is not. A look-up reads one of `PARTS` parts of each file.

Merged files and those of closed days have it. Files from batches do without, as making it would
slow delivery down; there are few of them, and each may hold anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate_lake.columns import person_sql

__all__ = [
    "MOST_PART_BYTES",
    "PARTS",
    "all_parts",
    "ids_sql",
    "may_hold",
    "part_bytes",
    "part_of",
    "parts_sql",
]

PARTS = 16
"""Parts of the index of a file."""

MOST_PART_BYTES = 65_536
"""Bound on a part, so on 1 MiB for a file. Beyond 700,000 ids, more files are read in vain."""

_BITS_PER_ID = 12
_POSITIONS = 6
_LEAST_PART_BYTES = 8

_PART_MASK, _PART_SHIFT = PARTS - 1, PARTS.bit_length() - 1
_FIRST_BITS = 29
_FIRST_MASK = (1 << _FIRST_BITS) - 1
_STEP_SHIFT = _PART_SHIFT + _FIRST_BITS


def part_of(number: int) -> int:
    """Returns the part that has the bits of an id."""
    return number & _PART_MASK


def may_hold(bits: bytes, number: int) -> bool:
    """Tells whether a file may hold an id.

    Args:
        bits: the part of the file's index that the id belongs to.
    """
    if not bits:
        return False
    size = len(bits) * 8
    first, step = (number >> _PART_SHIFT) & _FIRST_MASK, (number >> _STEP_SHIFT) | 1
    positions = ((first + place * step) % size for place in range(_POSITIONS))
    return all(bits[position >> 3] & (0x80 >> (position & 7)) for position in positions)


def part_bytes(ids: int) -> int:
    """Returns the size of each part of the index of so many ids."""
    return min(max(_LEAST_PART_BYTES, ids * _BITS_PER_ID // (8 * PARTS)), MOST_PART_BYTES)


def ids_sql(files: str) -> str:
    """Returns the SQL for the distinct numbers in files, in the column ``id``.

    Args:
        files: SQL that reads them.
    """
    numbers = ["person", *map(person_sql, ("user_id", "anonymous_id", "previous_id"))]
    return f"SELECT DISTINCT unnest([{', '.join(numbers)}]) AS id FROM {files}"  # noqa: S608


def parts_sql(ids: str, size: int) -> str:
    """Returns the SQL for the number and the bits of each part that has any.

    Args:
        ids: the table of the distinct numbers.
        size: of each part, in bytes.
    """
    first = f"(id >> {_PART_SHIFT}) & {_FIRST_MASK}"
    step = f"(id >> {_STEP_SHIFT}) | 1"
    return (
        f"SELECT id & {_PART_MASK}, bitstring_agg("  # noqa: S608
        f"((({first}) + place * ({step})) % {size * 8})::INTEGER, 0, {size * 8 - 1})::BLOB "
        f"FROM {ids}, range({_POSITIONS}) places(place) WHERE id IS NOT NULL GROUP BY 1"
    )


def all_parts(parts: Sequence[tuple[int, bytes]]) -> tuple[bytes, ...]:
    """Returns all parts in order; one without ids is empty."""
    found = dict(parts)
    return tuple(found.get(part, b"") for part in range(PARTS))
