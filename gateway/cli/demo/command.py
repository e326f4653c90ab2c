"""`gateway demo`: a shop's visitors, played into a gateway that one can watch."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.cli.demo.board import Board
    from gateway.cli.sdk_client import Client

__all__ = ["CONFIG", "demo", "play"]

CONFIG = """\
data_dir = "data"

[server]
host = "127.0.0.1"
port = {port}

[log]
level = "warning"

[sources.shop]
type = "segment"
write_key = {write_key}

[transforms.privacy]       # at intake: what it takes away is never stored
type = "mask"

[transforms.canary]        # at delivery: one in ten users
type = "sample"
percent = 10
destinations = ["canary"]

[destinations.files]
type = "file"
path = "events"

[destinations.canary]
type = "null"
"""
"""Config of the gateway that the demo starts where it is not given one."""

_BATCH_EVENTS = 100
_BATCH_AGE_SECONDS = 0.25
_REFRESH_SECONDS = 0.25
_LINE_SECONDS = 1.0
_SETTLE_SECONDS = 30.0
_MAX_SEED = 1_000_000


@click.command()
@click.option(
    "--url",
    help="Address of a running gateway; without it the demo starts one, "
    "which is gone with all its data when the demo ends.",
)
@click.option("--write-key", default="demo", show_default=True, help="Write key of the source.")
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to send.",
)
@click.option(
    "--speed",
    type=click.FloatRange(1, 100),
    default=1.0,
    show_default=True,
    help="Seconds of the shop in one second, 1 to 100.",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 10_000),
    default=240.0,
    show_default=True,
    help="Visitors in a minute of the shop; each makes some 16 events.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Plays the same shop again, with the same "
    "message ids: a gateway that has seen it counts duplicates.  [default: a new one]",
)
def demo(
    url: str | None, write_key: str, duration: float, speed: float, rate: float, seed: int | None
) -> None:
    """Play a shop's visitors into a gateway and watch what becomes of their events.

    Exit code 0 if everything sent was accepted and, where the demo started the gateway itself, also
    delivered to every destination.
    """
    import random

    from gateway.cli.options import explained_errors

    if seed is None:
        seed = random.SystemRandom().randrange(_MAX_SEED)
    click.echo(f"seed {seed}, {rate:g} visitors a minute, shop time x{speed:g}, {duration:g} s")
    with explained_errors():
        complete = asyncio.run(_demo(url, write_key, duration, speed, rate, seed))
    if not complete:
        raise SystemExit(1)


async def _demo(
    url: str | None, write_key: str, duration: float, speed: float, rate: float, seed: int
) -> bool:
    from gateway.cli.demo.board import Board
    from gateway.cli.demo.shop import Shop, steady_clock
    from gateway.cli.sdk_client import Client
    from gateway.errors import DeliveryError
    from gateway.events.timestamps import now_ms

    stop = _stop_signal()
    board = Board(duration, speed)

    def on_retry(reason: str, seconds: float) -> None:
        board.trouble = f"{reason}; again in {seconds:.1f} s"

    def connect(url: str) -> Client:
        # Once the demo is to end, nothing is waited for any more.
        return Client(url, write_key, on_retry=on_retry, sleep=partial(_wait, stop))

    async with _gateway(url, write_key, connect) as client:
        board.url = client.url
        base = await client.counts() or Counter()
        failure = None
        shop = Shop(seed, rate, steady_clock(now_ms(), speed))
        async with _shown(board, client, base):
            try:
                await play(shop.events(), client, board, duration=duration, speed=speed, stop=stop)
            except DeliveryError as error:
                failure = error
            await _settle(board, client, base)
        click.echo(board.summary())
        if failure is not None:
            click.echo(f"Error: {failure}", err=True)
            return False
        return url is not None or board.complete


@asynccontextmanager
async def _gateway(
    url: str | None, write_key: str, connect: Callable[[str], Client]
) -> AsyncIterator[Client]:
    """A client of the gateway at `url`, or of one that is started for the occasion."""
    from tempfile import TemporaryDirectory

    import msgspec

    from gateway.cli.process import ServerProcess, free_port

    if url is not None:
        try:
            client = connect(url)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--url") from error
        async with client:
            yield client
        return
    port = free_port()
    with TemporaryDirectory(prefix="headgate-demo-") as folder:
        config = Path(folder) / "config.toml"
        quoted = msgspec.json.encode(write_key).decode()  # a JSON string is a TOML string
        config.write_text(CONFIG.format(port=port, write_key=quoted), encoding="utf-8")
        arguments = ("gateway", "serve", "--config", str(config))
        async with (
            connect(f"http://127.0.0.1:{port}") as client,
            ServerProcess(arguments, Path(folder) / "gateway.log", client.healthy),
        ):
            yield client


def _stop_signal() -> asyncio.Event:
    """Set by the first Ctrl-C or SIGTERM; the second one ends the demo at once."""
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


async def play(
    events: Iterable[tuple[float, dict[str, Any]]],
    client: Client,
    board: Board,
    *,
    duration: float,
    speed: float,
    stop: asyncio.Event,
    clock: Callable[[], float] = monotonic,
    wait: Callable[[asyncio.Event, float], Awaitable[None]] | None = None,
) -> None:
    """Send events when they are due, in batches as an SDK makes them.

    A gateway that is slow is not sent more at once: what is due meanwhile is sent later, and what
    is not sent by the end of `duration` is left out. Memory holds one batch.

    Args:
        events: seconds of the shop's time since the start, and the event; never ends.
        stop: set to end early.
        wait: waits for `stop` or so many seconds.

    Raises:
        DeliveryError: a batch could not be sent; see `Client.send`.
    """
    import msgspec

    from gateway.cli.sdk_client import Limits, Packer

    wait = wait or _wait
    packer: Packer[tuple[bytes, dict[str, Any]]] = Packer(Limits(max_events=_BATCH_EVENTS))
    encode = msgspec.json.Encoder().encode
    iterator = iter(events)
    offset, event = next(iterator)  # the shop fills with visitors now, before time begins to run
    start = clock()
    oldest = start

    async def flush(batch: list[tuple[bytes, dict[str, Any]]]) -> None:
        if batch:
            await client.send([data for data, _ in batch])
            board.trouble = ""
            for _, sent in batch:
                board.record(sent)

    while offset / speed < duration and not stop.is_set() and clock() - start < duration:
        due = start + offset / speed
        now = clock()
        flush_at = oldest + _BATCH_AGE_SECONDS if packer else due
        if packer and now >= flush_at:
            await flush(packer.take())
        elif now < due:
            await wait(stop, min(due, flush_at) - now)
        else:
            if not packer:
                oldest = now
            data = encode(event)
            await flush(packer.add((data, event), len(data)))
            offset, event = next(iterator)
    await flush(packer.take())


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _settle(board: Board, client: Client, base: Counter[tuple[str, str]]) -> None:
    """Wait a bounded time until the gateway has delivered what it took in."""
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
async def _shown(
    board: Board, client: Client, base: Counter[tuple[str, str]]
) -> AsyncIterator[None]:
    """Keep the board up to date and on the screen, or print a line now and then."""
    from rich.live import Live

    from gateway.cluster.background import beside

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
                click.echo(board.line())
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
