"""`gateway demo`: sends the events of a shop's visitors to a gateway, and shows what it does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.demo.history import History, run_history
from gateway.cli.options import CONFIG_OPTION, Number, explained_errors
from gateway.cli.output import say

if TYPE_CHECKING:
    from gateway.cli.sdk_client import Client

__all__ = ["CONFIG", "demo"]

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

[transforms.privacy]       # at intake: removes personal data before anything is stored
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
"""Config of the gateway that the demo starts without --url."""

_MAX_SEED = 1_000_000


@click.command()
@click.option(
    "--url",
    help="Address of a running gateway. Without it, the demo starts one, and removes it with all "
    "its data at the end.",
)
@click.option("--write-key", default="demo", show_default=True, help="Write key of the source.")
@click.option(
    "--duration",
    type=Number(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to send.",
)
@click.option(
    "--speed",
    type=Number(1, 100),
    default=1.0,
    show_default=True,
    help="Seconds of the shop in one second, 1 to 100.",
)
@click.option(
    "--rate",
    type=Number(1, 10_000),
    default=240.0,
    show_default=True,
    help="Visitors in a minute of the shop; each makes some 16 events.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Plays the same shop again, with the same message ids: a gateway that has seen them "
    "counts duplicates.  [default: a new one]",
)
@click.option(
    "--history",
    type=History(),
    metavar="DAYS",
    help="Fills the lake of the config with so many days of the shop's past, such as 90d, and "
    "ends. With --seed, --config and --yes only.",
)
@click.option("--remove-history", is_flag=True, help="Takes that past out of the lake again.")
@click.option("--yes", is_flag=True, help="With --history: also into a lake with other events.")
@CONFIG_OPTION
def demo(
    url: str | None,
    write_key: str,
    duration: float,
    speed: float,
    rate: float,
    seed: int | None,
    **past: Any,
) -> None:
    """Play a shop's visitors into a gateway and watch what becomes of their events.

    The exit code is 0 if the gateway has accepted all events and, where the demo has started it,
    has also delivered them to every destination.

    With --history no visitor is played: the lake gets the past quarter of a shop, for a first look
    at figures.
    """
    import random

    if past["history"] is not None or past["remove_history"]:
        run_history(seed=seed, **past)
        return
    if past["yes"]:
        raise click.UsageError("--yes belongs to --history")

    if seed is None:
        seed = random.SystemRandom().randrange(_MAX_SEED)
    say(f"seed {seed}, {rate:g} visitors a minute, shop time x{speed:g}, {duration:g} s")
    with explained_errors():
        complete = asyncio.run(_demo(url, write_key, duration, speed, rate, seed))
    if not complete:
        raise SystemExit(1)


async def _demo(
    url: str | None, write_key: str, duration: float, speed: float, rate: float, seed: int
) -> bool:
    from gateway.cli.demo.board import Board
    from gateway.cli.demo.display import settle, shown
    from gateway.cli.demo.play import Pace, play, wait_for_stop
    from gateway.cli.demo.shop import Shop, steady_clock
    from gateway.cli.sdk_client import Client, Timing
    from gateway.errors import DeliveryError
    from gateway.events.timestamps import now_ms

    stop = _stop_signal()
    board = Board(duration, speed)

    def on_retry(reason: str, seconds: float) -> None:
        board.trouble = f"{reason}; again in {seconds:.1f} s"

    def connect(url: str) -> Client:
        # A stop ends the wait for a retry as well.
        timing = Timing(sleep=partial(wait_for_stop, stop))
        return Client(url, write_key, on_retry=on_retry, timing=timing)

    async with _gateway(url, write_key, connect) as client:
        board.url = client.url
        base = await client.counts() or Counter()
        failure = None
        shop = Shop(seed, rate, steady_clock(now_ms(), speed))
        async with shown(board, client, base):
            try:
                await play(shop.events(), client, board, Pace(duration, speed, stop))
            except DeliveryError as error:
                failure = error
            await settle(board, client, base)
        say(board.summary())
        if failure is not None:
            say(f"Error: {failure}", err=True)
            return False
        return url is not None or board.complete


@asynccontextmanager
async def _gateway(
    url: str | None, write_key: str, connect: Callable[[str], Client]
) -> AsyncIterator[Client]:
    """Gives a client of the gateway at `url`, or of one that runs while the context lasts."""
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
    """Returns an event that the first Ctrl-C or SIGTERM sets; the second ends the demo at once."""
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
