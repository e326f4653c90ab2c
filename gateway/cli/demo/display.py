"""Keeps the demo's board up to date and on the screen."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from rich.live import Live

from gateway.cli.demo.board import Board
from gateway.cli.output import say
from gateway.cli.sdk_client import Client
from gateway.cluster.background import beside

__all__ = ["settle", "shown"]

_REFRESH_SECONDS = 0.25
_LINE_SECONDS = 1.0
_SETTLE_SECONDS = 30.0


async def settle(board: Board, client: Client, base: Counter[tuple[str, str]]) -> None:
    """Waits a bounded time until the gateway has delivered the events that it accepted."""
    deadline = monotonic() + _SETTLE_SECONDS
    while True:
        counts = await client.counts()
        if counts is None:
            return
        board.count(counts, base)
        if board.settled or monotonic() > deadline:
            return
        await asyncio.sleep(_REFRESH_SECONDS)


@asynccontextmanager
async def shown(
    board: Board, client: Client, base: Counter[tuple[str, str]]
) -> AsyncIterator[None]:
    """Shows the board while the context lasts; without a terminal, prints a line each second."""
    start = monotonic()
    live = Live(board, auto_refresh=False, transient=True) if sys.stdout.isatty() else None

    async def refresh() -> None:
        while True:
            counts = await client.counts()
            if counts is not None:
                board.count(counts, base)
            board.tick(monotonic() - start)
            if live is not None:
                live.refresh()
            else:
                say(board.line())
            await asyncio.sleep(_REFRESH_SECONDS if live is not None else _LINE_SECONDS)

    if live is not None:
        live.start()
    try:
        async with beside(refresh(), "demo display"):
            yield
    finally:
        board.tick(monotonic() - start)
        if live is not None:
            live.stop()
