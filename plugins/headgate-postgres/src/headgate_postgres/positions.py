"""Which events are in the tables: written in one transaction with them, so each is there once.

A row of ``headgate_positions`` holds which offsets of a block of 8,192 were delivered, as a
multirange: a single range where nothing is filtered out, and never more than some kilobytes. Sends
may overlap and come in any order, so that a mere highest offset would not do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headgate_postgres.names import quoted
from headgate_postgres.rows import POSITIONS

__all__ = ["BLOCK", "claim", "delivered"]

BLOCK = 8192
"""Offsets of one row."""


async def delivered(
    db: Any, schema: str, destination: str, queue_id: str, offsets: Sequence[int]
) -> set[int]:
    """Which of these offsets are in the tables."""
    rows = await db.fetch(
        f"SELECT o FROM unnest($3::bigint[]) o JOIN {quoted(schema, POSITIONS)} p "  # noqa: S608
        f"ON p.destination = $1 AND p.queue_id = $2 AND p.block = o / {BLOCK} "
        "AND p.delivered @> o",
        destination,
        queue_id,
        list(offsets),
    )
    return {row[0] for row in rows}


async def claim(
    db: Any, schema: str, destination: str, queue_id: str, offsets: Iterable[int]
) -> bool:
    """Note offsets as delivered; False if another transaction did so for one of them meanwhile.

    The last statement before COMMIT: it waits for whoever is about to commit the same block.
    """
    blocks: dict[int, list[int]] = {}
    for offset in sorted(offsets):
        blocks.setdefault(offset // BLOCK, []).append(offset)
    table = quoted(schema, POSITIONS)
    noted = await db.fetch(
        f"INSERT INTO {table} AS p SELECT $1, $2, b, r::int8multirange "  # noqa: S608
        "FROM unnest($3::bigint[], $4::text[]) AS claimed (b, r) ORDER BY b "
        "ON CONFLICT (destination, queue_id, block) DO UPDATE "
        "SET delivered = p.delivered + excluded.delivered "
        "WHERE NOT p.delivered && excluded.delivered RETURNING block",
        destination,
        queue_id,
        list(blocks),
        [_multirange(block) for block in blocks.values()],
    )
    return len(noted) == len(blocks)


def _multirange(offsets: Sequence[int]) -> str:
    """Ascending offsets as PostgreSQL writes a multirange: ``{[1,4),[7,8)}``."""
    ranges: list[list[int]] = []
    for offset in offsets:
        if ranges and ranges[-1][1] == offset:
            ranges[-1][1] = offset + 1
        else:
            ranges.append([offset, offset + 1])
    return "{" + ",".join(f"[{first},{end})" for first, end in ranges) + "}"
