"""Positions of delivered events, written in one transaction with them, so that each is there once.

A row of ``headgate_positions`` holds the delivered offsets of a block of 8,192 as a multirange: one
range if nothing is filtered out, and never more than some kilobytes. A highest offset would not
do, because sends may overlap and come in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headgate_postgres.names import quoted
from headgate_postgres.rows import POSITIONS

__all__ = ["BLOCK", "claim", "delivered"]

BLOCK = 8192
"""Offsets for each row."""


async def delivered(
    db: Any, schema: str, destination: str, queue_id: str, offsets: Sequence[int]
) -> set[int]:
    """Returns those of the offsets whose events are in the tables."""
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
    """Marks offsets as delivered; returns False if another transaction has marked one of them.

    It is the last statement before COMMIT, and waits for transactions that mark the same block.
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
    """Formats ascending offsets as a multirange of PostgreSQL: ``{[1,4),[7,8)}``."""
    ranges: list[list[int]] = []
    for offset in offsets:
        if ranges and ranges[-1][1] == offset:
            ranges[-1][1] = offset + 1
        else:
            ranges.append([offset, offset + 1])
    return "{" + ",".join(f"[{first},{end})" for first, end in ranges) + "}"
