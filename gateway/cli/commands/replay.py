"""``gateway replay``: delivers stored events to one destination once more."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import Moment, Number, explained_errors
from gateway.cli.output import say
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.config.model import Config
    from gateway.delivery.replay_request import Request

__all__ = ["replay"]

_LOOK_EVERY_SECONDS = 0.25


@click.command()
@place_options
@click.option("--destination", "-d", help="The destination that gets them.")
@click.option("--from", "from_", type=Moment(), help="Events received since then: ISO 8601 or 2d.")
@click.option("--to", type=Moment(), help="And before then.  [default: now]")
@click.option("--event", help="Only track events of this name, or events of this type.")
@click.option("--user", help="Only of this userId or anonymousId.")
@click.option("--rate", type=Number(0), default=0.0, help="Events a second, at most.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@click.option("--force", is_flag=True, help="Even if the destination may count events twice.")
@click.option("--status", is_flag=True, help="List replays, and do nothing else.")
@click.option("--cancel", type=int, metavar="ID", help="Cancel a replay, and do nothing else.")
def replay(
    place: Place,
    from_: datetime | None,
    to: datetime | None,
    status: bool,
    cancel: int | None,
    **which: Any,
) -> None:
    """Deliver events that the queue still keeps to one destination once more.

    The events keep their ids and times. Consent, suppression and transforms are those of today. A
    running gateway does the work, and continues after a restart. If none runs, this command does
    it.
    """
    from gateway.cli.admin_client import connect
    from gateway.config.data_dir import shards_of
    from gateway.delivery.replay_request import Request
    from gateway.errors import GatewayError

    with explained_errors():
        if status or cancel is not None:
            _look(place, cancel)
            return
        if which["destination"] is None or from_ is None:
            raise click.UsageError("--destination and --from are needed")
        request = Request(from_ms=_ms(from_), to_ms=_ms(to or datetime.now(UTC)), **which)
        if request.from_ms >= request.to_ms:
            raise GatewayError("--from must be before --to")
        remote = connect(place)
        if remote is not None:
            _ask(remote, request)
        else:
            for one in shards_of(place.config):
                asyncio.run(_replay_offline(one, request))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _ask(remote: Remote, request: Request) -> None:
    """Has the running gateway do it, and shows the progress."""
    import msgspec

    from gateway.cli.views.replay import show_end, show_plan, shown_progress
    from gateway.delivery.replay_request import Plan, Progress

    answer = remote.post("/admin/replays", msgspec.to_builtins(request))
    if request.dry_run:
        show_plan(msgspec.convert(answer, Plan))
        return
    begun = msgspec.convert(answer, Progress)
    try:
        with shown_progress(begun) as update:
            now = begun
            while now.state == "running":
                time.sleep(_LOOK_EVERY_SECONDS)
                now = msgspec.convert(remote.get(f"/admin/replays/{begun.id}"), Progress)
                update(now)
        show_end(now)
    except KeyboardInterrupt:
        say(
            f"replay {begun.id} goes on in the gateway; `gateway replay --status` shows it, "
            f"`gateway replay --cancel {begun.id}` ends it"
        )


def _look(place: Place, cancel: int | None) -> None:
    """Cancels a replay, or lists all."""
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.cli.views.replay import show_end, show_line
    from gateway.delivery.replay_request import Progress

    remote = required(place)
    if cancel is not None:
        show_end(msgspec.convert(remote.delete(f"/admin/replays/{cancel}"), Progress))
        return
    found = msgspec.convert(remote.get("/admin/replays"), list[Progress])
    for one in found:
        show_line(one)
    if not found:
        say("no replays")


async def _replay_offline(config: Config, request: Request) -> None:
    """Does it in this process, on a data directory without a gateway."""
    import msgspec

    from gateway.cli.views.replay import show_end, show_plan, shown_progress
    from gateway.runtime.gateway import Gateway
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.plugins import discover

    configure_logging(msgspec.structs.replace(config.log, level="warning"))
    gateway = Gateway(config, discover())
    async with gateway.standing_by(request.destination):
        if request.dry_run:
            show_plan(await gateway.replays.plan(request))
            return
        now = begun = await gateway.replays.start(request)
        with shown_progress(begun) as update:
            while now.state == "running":
                await gateway.replays.wait(begun.id, _LOOK_EVERY_SECONDS)
                now = await gateway.replays.progress(begun.id) or now
                update(now)
        show_end(now)
