"""`gateway send`: sends one event from options, or the events of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import say

if TYPE_CHECKING:
    from gateway.cli.sdk_client import Client

__all__ = ["DEFAULT_URL", "DEFAULT_WRITE_KEY", "send", "target"]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_WRITE_KEY = "demo"

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
    help="A property, or a trait of identify and group; JSON if it parses as JSON. Repeatable.",
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
    help="Config file with address and write key.  [default: config.toml if present]",
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
    accept are reported and left out, and the exit code is then 1. The command waits for a busy
    gateway. A line without messageId gets one made from the path of the file, the line and its
    number, so that sending the file again counts nothing twice; from standard input only if the
    line has a timestamp.

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
    """Returns address and write key: the given ones, else those of the config, else defaults.

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

    from gateway.cli.batches import Limits
    from gateway.cli.ndjson_file import BadLine, prepare
    from gateway.cli.views.upload import UploadView
    from gateway.errors import DeliveryError

    data = msgspec.json.encode(event)
    try:
        prepare(1, data, path="", max_bytes=Limits().max_event_bytes)
    except BadLine as error:
        raise click.UsageError(f"The event {error}.") from error
    try:
        asyncio.run(_send_batch(_client(url, write_key, UploadView().retry), data))
    except DeliveryError as error:
        raise click.ClickException(str(error)) from error
    say(f"accepted {event['type']} event, messageId {event['messageId']}")


async def _send_batch(client: Client, *events: bytes) -> None:
    async with client:
        await client.send(events)


def _client(url: str, write_key: str, on_retry: Callable[[str, float], None]) -> Client:
    from gateway.cli.sdk_client import Client

    try:
        return Client(url, write_key, on_retry=on_retry)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error


def _send_file(file: str, url: str, write_key: str) -> None:
    import asyncio
    import os.path

    from gateway.cli.batches import Limits
    from gateway.cli.upload import Upload
    from gateway.cli.views.upload import upload_view
    from gateway.errors import DeliveryError

    failure: BaseException | None = None
    label, path = ("standard input", "") if file == "-" else (file, os.path.realpath(file))
    with click.open_file(file, "rb") as stream, upload_view(stream.fileno()) as view:
        client = _client(url, write_key, view.retry)
        upload = Upload(label, path, client, Limits(), view)
        try:
            asyncio.run(upload.run(stream.fileno()))
        except (DeliveryError, KeyboardInterrupt) as error:
            failure = error
    result = f"accepted {upload.accepted} events in {upload.requests} requests"
    say(f"{result}; {upload.bad} lines were not" if upload.bad else result)
    if failure is not None:
        advice = "" if file == "-" else " Send the file again: what is in already counts once."
        why = str(failure) or "interrupted"
        raise click.ClickException(f"{why}\nThe rest was not sent.{advice}")
    if upload.bad:
        raise SystemExit(1)
