"""``gateway explain``: shows what would happen to an event."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import explained_errors, own_stdout
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.config.model import Config
    from gateway.runtime.explain.explainer import Explanation
    from gateway.runtime.explain.question import Question

__all__ = ["explain"]


@click.command()
@place_options
@click.argument("event", metavar="FILE|MESSAGE_ID|-")
@click.option("--source", default="", help="The source that gets the event; see --write-key.")
@click.option("--write-key", default="", help="Instead of the event's own, or the source's first.")
@click.option("--path", default="", help="Path of the request, such as /v1/track.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Of the request.")
@click.option("--destination", "-d", help="Show only this destination.")
@click.option("--event", "with_event", is_flag=True, help="Also show the event as it is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def explain(
    place: Place,
    event: str,
    headers: tuple[str, ...],
    with_event: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Show step by step what this config would do to an event; nothing is sent or stored.

    A file holds an event as a client sends it, a list of events, or the body of a batch. A message
    id names an event in the queue, which is shown as it is stored. Exit code 1 if the request is
    refused, or no event of it is stored.
    """
    import msgspec

    from gateway.runtime.explain.question import Question

    with explained_errors():
        message_id, body = _input(event)
        question = Question(
            message_id=message_id, event=msgspec.Raw(body), headers=_headers(headers), **given
        )
        found = _found(place, question)
    if as_json:
        print_json(found)
    else:
        from gateway.cli.views.explain import show

        show(found, with_event=with_event)
    if not any(one.outcome != "discarded" for one in found.events):
        raise SystemExit(1)


def _found(place: Place, question: Question) -> Explanation:
    """Explains by the config file; by the running gateway if the file cannot be used."""
    from gateway.cli.admin_client import connect
    from gateway.runtime.logs import configure_logging

    remote = None if place.has_config else connect(place)
    if remote is not None:
        return _asked(remote, question)
    config = place.config
    configure_logging(config.log)  # to stderr
    with own_stdout():
        return asyncio.run(_explained(config, question))


def _asked(remote: Remote, question: Question) -> Explanation:
    import msgspec

    from gateway.errors import GatewayError
    from gateway.runtime.explain.explainer import Explanation

    body = msgspec.structs.asdict(question)
    event = body.pop("event")
    if event:
        try:
            body["event"] = msgspec.json.decode(event)
        except msgspec.DecodeError as error:
            raise GatewayError(f"a running gateway explains JSON only: {error}") from error
    answer = msgspec.json.encode(remote.post("/admin/explain", body))
    return msgspec.json.decode(answer, type=Explanation)


async def _explained(config: Config, question: Question) -> Explanation:
    from gateway.events.timestamps import now_ms
    from gateway.runtime.explain.explainer import explaining
    from gateway.runtime.explain.question import explained
    from gateway.runtime.gateway import Gateway
    from gateway.runtime.plugins import discover
    from gateway.state.offline import sent_before, stored_by_id

    now = now_ms()
    gateway = Gateway(config, discover(), lambda: now, dry_run=True)
    await asyncio.to_thread(gateway.rollouts.look_up, config.shared_dir)
    stored = stored_by_id(config, question.message_id)

    def known(source_id: str, message_ids: set[str]) -> set[str]:
        return sent_before(config, source_id, message_ids, now)

    async with explaining(gateway, question.destination, known) as explainer:
        return await explained(explainer, gateway, question, stored)


def _input(event: str) -> tuple[str, bytes]:
    """Returns a message id, or the content of a file."""
    from gateway.errors import GatewayError

    if event == "-":
        body = sys.stdin.buffer.read()
    elif Path(event).is_file():
        body = Path(event).read_bytes()
    elif "/" in event or event.endswith((".json", ".ndjson")):
        raise GatewayError(f"{event}: there is no such file")
    else:
        return event, b""
    if not body.strip():
        raise GatewayError(f"{event}: is empty")
    return "", body


def _headers(pairs: tuple[str, ...]) -> dict[str, str]:
    from gateway.errors import GatewayError

    found = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name.strip():
            raise GatewayError(f"--header {pair!r}: must be NAME:VALUE")
        found[name.strip()] = value.strip()
    return found
