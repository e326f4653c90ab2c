"""`gateway send`: one event from options, or a file of events."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import explained_errors

if TYPE_CHECKING:
    from rich.progress import Progress, Task

    from gateway.cli.ndjson_file import Line
    from gateway.cli.sdk_client import Client, Limits

__all__ = ["DEFAULT_URL", "DEFAULT_WRITE_KEY", "MAX_REPORTED", "send", "target"]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_WRITE_KEY = "demo"
MAX_REPORTED = 20
"""Lines that are reported one by one; the rest is counted."""

_CHUNK_BYTES = 256 * 1024
_MAX_AGE_SECONDS = 1.0  # what a slow pipe has brought is sent after this
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - addresses to listen on, not to send to


@click.command()
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--type",
    "kind",
    help="Type of the event.  [default: track]",
    type=click.Choice(["track", "identify", "page", "screen", "group", "alias"]),
)
@click.option("--event", help="Name of a track event.")
@click.option("--name", help="Name of a page or screen.")
@click.option("--category", help="Category of a page or screen.")
@click.option("--user", help="userId.")
@click.option("--anonymous", help="anonymousId.")
@click.option("--group", help="groupId of a group event.")
@click.option("--previous", help="previousId of an alias event.")
@click.option(
    "--prop",
    "props",
    multiple=True,
    metavar="KEY=VALUE",
    help="A property, or a trait of identify and group; JSON where it parses. Repeatable.",
)
@click.option("--url", help=f"Address of the gateway.  [default: of the config, or {DEFAULT_URL}]")
@click.option(
    "--write-key",
    help="Write key of the source.  [default: of the config's first enabled "
    f"segment source, or {DEFAULT_WRITE_KEY}]",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="Config file to take address and write key from.  [default: config.toml if present]",
)
def send(
    file: str | None,
    kind: str | None,
    props: tuple[str, ...],
    url: str | None,
    write_key: str | None,
    config_path: Path | None,
    **names: str | None,
) -> None:
    """Send one event, or the events of FILE, to a running gateway.

    FILE has one JSON object a line (NDJSON); - is standard input. Lines that the gateway would not
    take up are reported and left out, and the exit code is then 1. A busy gateway is waited for.
    A line without messageId gets one that follows from the line and its number, so that sending
    the file again counts nothing twice; from standard input only if the line has a timestamp.

    \b
        gateway send --event "Order Completed" --user ada --prop revenue=25
        gateway send --type identify --user ada --prop email=ada@example.com
        gateway send events.ndjson
    """
    single = kind is not None or bool(props) or any(names.values())
    if (file is not None) == single:
        raise click.UsageError("Give either a FILE or the options of one event, such as --event.")
    url, write_key = target(config_path, url, write_key)
    if file is not None:
        _send_file(file, url, write_key)
    else:
        _send_one(_event(kind or "track", props, names), url, write_key)


def target(config: Path | None, url: str | None, write_key: str | None) -> tuple[str, str]:
    """Where to send to: what is given, else what config says, else the defaults.

    Args:
        config: None stands for config.toml in the working directory, if there is one.
    """
    from gateway.config.load import load

    if url is not None and write_key is not None:
        return url, write_key
    path = config or Path("config.toml")
    if config is None and not path.exists():
        return url or DEFAULT_URL, write_key or DEFAULT_WRITE_KEY
    with explained_errors():
        loaded = load(path)
    if write_key is None:
        sources = [source for source, _ in loaded.sources.values()]
        keys = [key for s in sources if s.type == "segment" and s.enabled for key in s.write_keys]
        if not keys:
            raise click.UsageError(f"{path} has no enabled segment source; give --write-key.")
        write_key = keys[0]
    if url is None:
        server = loaded.server
        if server.port == 0:
            raise click.UsageError(f"{path} leaves the port open (server.port = 0); give --url.")
        host = "127.0.0.1" if server.host in _EVERYWHERE else server.host
        host = f"[{host}]" if ":" in host else host
        url = f"http://{host}:{server.port}{server.prefix}"
    return url, write_key


# -- one event ---------------------------------------------------------------


def _event(kind: str, props: Iterable[str], names: dict[str, str | None]) -> dict[str, Any]:
    import uuid

    from gateway import __version__

    keys = {
        "event": "event",
        "name": "name",
        "category": "category",
        "user": "userId",
        "anonymous": "anonymousId",
        "group": "groupId",
        "previous": "previousId",
    }
    body = "traits" if kind in ("identify", "group") else "properties"
    return {
        "type": kind,
        "messageId": str(uuid.uuid4()),
        **{keys[option]: value for option, value in names.items() if value is not None},
        body: dict(_property(text) for text in props),
        "context": {"library": {"name": "headgate", "version": __version__}},
    }


def _property(text: str) -> tuple[str, Any]:
    import msgspec

    key, separator, value = text.partition("=")
    if not key or not separator:
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE", param_hint="--prop")
    try:
        return key, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return key, value


def _send_one(event: dict[str, Any], url: str, write_key: str) -> None:
    import asyncio

    import msgspec

    from gateway.cli.ndjson_file import BadLine, prepare
    from gateway.cli.sdk_client import Limits
    from gateway.errors import DeliveryError

    data = msgspec.json.encode(event)
    try:
        prepare(1, data, stream=True, max_bytes=Limits().max_event_bytes)
    except BadLine as error:
        raise click.UsageError(f"The event {error}.") from error
    try:
        asyncio.run(_send_batch(_client(url, write_key, _Screen().retry), data))
    except DeliveryError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"accepted {event['type']} event, messageId {event['messageId']}")


async def _send_batch(client: Client, *events: bytes) -> None:
    async with client:
        await client.send(events)


def _client(url: str, write_key: str, on_retry: Callable[[str, float], None]) -> Client:
    from gateway.cli.sdk_client import Client

    try:
        return Client(url, write_key, on_retry=on_retry)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error


# -- a file --------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    """What became of the lines."""

    label: str
    screen: _Screen
    accepted: int = 0
    requests: int = 0
    bad: int = 0

    def bad_lines(self, first: int, last: int, number: int, why: str) -> None:
        """Report lines that were not accepted, up to the bound."""
        where = f"{first}" if first == last else f"{first}-{last}"
        reported = self.bad
        self.bad += number
        if reported < MAX_REPORTED:
            self.screen.say(f"{self.label}:{where}: {why}")
        if reported < MAX_REPORTED <= self.bad:
            self.screen.say("further lines are not reported one by one")


def _send_file(file: str, url: str, write_key: str) -> None:
    import asyncio

    from gateway.cli.sdk_client import Limits
    from gateway.errors import DeliveryError

    failure: BaseException | None = None
    with click.open_file(file, "rb") as stream, _screen(stream.fileno()) as screen:
        tally = _Tally("standard input" if file == "-" else file, screen)
        client = _client(url, write_key, screen.retry)
        try:
            asyncio.run(_send_stream(stream.fileno(), file == "-", client, Limits(), tally))
        except (DeliveryError, KeyboardInterrupt) as error:
            failure = error
    told = f"accepted {tally.accepted} events in {tally.requests} requests"
    click.echo(f"{told}; {tally.bad} lines were not" if tally.bad else told)
    if failure is not None:
        advice = "" if file == "-" else " Send the file again: what is in already counts once."
        why = str(failure) or "interrupted"
        raise click.ClickException(f"{why}\nThe rest was not sent.{advice}")
    if tally.bad:
        raise SystemExit(1)


async def _send_stream(
    fd: int, is_stream: bool, client: Client, limits: Limits, tally: _Tally
) -> None:
    from gateway.cli.ndjson_file import BadLine, LineSplitter, prepare
    from gateway.cli.sdk_client import Packer
    from gateway.errors import Permanent

    # Twice, for the white space around an event; what is really too long is said with its size.
    splitter = LineSplitter(2 * limits.max_event_bytes)
    packer: Packer[Line] = Packer(limits)
    flushed = monotonic()

    async def take(lines: Iterable[tuple[int, bytes | None]]) -> None:
        for number, text in lines:
            try:
                if text is None:
                    raise BadLine(f"has over {limits.max_event_bytes} bytes")
                line = prepare(number, text, stream=is_stream, max_bytes=limits.max_event_bytes)
            except BadLine as error:
                tally.bad_lines(number, number, 1, str(error))
                continue
            if line is not None:
                await flush(packer.add(line, len(line.event)))

    async def flush(batch: list[Line]) -> None:
        nonlocal flushed
        if not batch:
            return
        try:
            await client.send([line.event for line in batch])
        except Permanent as error:
            tally.bad_lines(batch[0].number, batch[-1].number, len(batch), str(error))
        else:
            tally.accepted += len(batch)
            tally.requests += 1
        flushed = monotonic()

    async with client:
        async for chunk in _chunks(fd):
            await take(splitter.feed(chunk))
            tally.screen.moved(len(chunk))
            if monotonic() - flushed > _MAX_AGE_SECONDS:
                await flush(packer.take())
        await take(splitter.close())
        await flush(packer.take())


async def _chunks(fd: int) -> AsyncIterator[bytes]:
    """What can be read, as it comes; empty where nothing came for a while."""
    import asyncio

    while True:
        chunk = await asyncio.to_thread(_read, fd)
        if chunk == b"":
            return
        yield chunk or b""


def _read(fd: int) -> bytes | None:
    """Wait a bounded time, so that an interrupt is never kept waiting by a pipe that is silent."""
    from select import select

    readable, _, _ = select([fd], [], [], _MAX_AGE_SECONDS)
    return os.read(fd, _CHUNK_BYTES) if readable else None


class _Screen:
    """Says what happens; a bar on a terminal shows how far it is."""

    def say(self, text: str) -> None:
        """Tell something that is to stay."""
        click.echo(text, err=True)

    def retry(self, reason: str, seconds: float) -> None:
        """The batch under way is sent again."""
        self.say(f"{reason}; trying again in {seconds:.1f} s")

    def moved(self, amount: int) -> None:
        """So many bytes more are dealt with."""


class _Bar(_Screen):
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total or None)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def retry(self, reason: str, seconds: float) -> None:
        self._progress.update(self._task, description=f"{reason}; again in {seconds:.1f} s")

    def moved(self, amount: int) -> None:
        self._progress.update(self._task, advance=amount, description="")


@contextmanager
def _screen(fd: int) -> Iterator[_Screen]:
    if not sys.stderr.isatty():
        yield _Screen()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.text import Text

    class Said(TextColumn):
        """The description as it is: a gateway's words are not markup."""

        def render(self, task: Task) -> Text:
            return Text(task.description)

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), Said(""))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, os.fstat(fd).st_size)
