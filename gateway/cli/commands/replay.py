"""``gateway replay``: deliver events of the past to one destination once more."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import say

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from gateway.cli.admin_client import Remote
    from gateway.config.model import Config
    from gateway.delivery.replay_request import Plan, Progress, Request

__all__ = ["Moment", "replay"]

_LOOK_EVERY_SECONDS = 0.25
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601, UTC unless it says otherwise, or so long ago, as in ``90m`` or ``2d``."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment that a text names."""
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: 2026-05-01T12:00:00Z, or so long ago: 90m, 2d")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command()
@CONFIG_OPTION
@click.option("--destination", "-d", help="Where to.")
@click.option("--from", "from_", type=Moment(), help="Events received since then: ISO 8601 or 2d.")
@click.option("--to", type=Moment(), help="And before then; now unless given.")
@click.option("--event", help="Only track events of this name, or events of this type.")
@click.option("--user", help="Only of this userId or anonymousId.")
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Events a second, at most.")
@click.option("--dry-run", is_flag=True, help="Tell what would be sent, and send nothing.")
@click.option("--force", is_flag=True, help="Even if the destination may count events twice.")
@click.option("--status", is_flag=True, help="List replays, and do nothing else.")
@click.option("--cancel", type=int, metavar="ID", help="Cancel a replay, and do nothing else.")
def replay(
    config_path: Path,
    destination: str | None,
    from_: datetime | None,
    to: datetime | None,
    event: str | None,
    user: str | None,
    rate: float,
    dry_run: bool,
    force: bool,
    status: bool,
    cancel: int | None,
) -> None:
    """Deliver events that the queue still keeps to one destination once more.

    They keep their ids and times. Consent, suppression and transforms are those of today. A running
    gateway does it, and goes on after a restart; where none runs this command does it itself.
    """
    from gateway.cli.admin_client import connect
    from gateway.config.data_dir import shards_of
    from gateway.config.load import load
    from gateway.delivery.replay_request import Request
    from gateway.errors import GatewayError

    with explained_errors():
        config = load(config_path)
        remote = connect(config)
        if status or cancel is not None:
            _look(config, cancel)
            return
        if destination is None or from_ is None:
            raise click.UsageError("--destination and --from are needed")
        request = Request(
            destination=destination,
            from_ms=_ms(from_),
            to_ms=_ms(to or datetime.now(UTC)),
            event=event,
            user=user,
            rate=rate,
            force=force,
            dry_run=dry_run,
        )
        if request.from_ms >= request.to_ms:
            raise GatewayError("--from must be before --to")
        if remote is not None:
            _ask(config, request)
        else:
            for one in shards_of(config):
                asyncio.run(_do(one, request))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


# -- by a running gateway -------------------------------------------------------


def _ask(config: Config, request: Request) -> None:
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.delivery.replay_request import Plan, Progress

    remote = required(config)
    answer = remote.post("/admin/replays", msgspec.to_builtins(request))
    if request.dry_run:
        _show_plan(msgspec.convert(answer, Plan))
        return
    begun = msgspec.convert(answer, Progress)
    try:
        _follow(begun, lambda: _progress(remote, begun.id))
    except KeyboardInterrupt:
        say(
            f"replay {begun.id} goes on without us; `gateway replay --status` shows it, "
            f"`gateway replay --cancel {begun.id}` ends it"
        )


def _progress(remote: Remote, id_: int) -> Progress:
    import msgspec

    from gateway.delivery.replay_request import Progress

    time.sleep(_LOOK_EVERY_SECONDS)
    return msgspec.convert(remote.get(f"/admin/replays/{id_}"), Progress)


def _follow(begun: Progress, ask: Callable[[], Progress]) -> None:
    with _bar() as bar:
        task = _task(bar, begun)
        now = begun
        while now.state == "running":
            now = ask()
            bar.update(task, completed=now.offsets_done, sent=now.replayed)
    _show_end(now)


def _look(config: Config, cancel: int | None) -> None:
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.delivery.replay_request import Progress

    remote = required(config)
    if cancel is not None:
        _show_end(msgspec.convert(remote.delete(f"/admin/replays/{cancel}"), Progress))
        return
    for one in msgspec.convert(remote.get("/admin/replays"), list[Progress]):
        share = one.offsets_done / one.offsets if one.offsets else 1
        say(
            f"{one.id}  {one.created_at}  {one.destination}  {one.state}  "
            f"{share:.0%} looked at, {one.replayed:,} replayed  {one.detail}".rstrip()
        )


# -- by ourselves ---------------------------------------------------------------


async def _do(config: Config, request: Request) -> None:
    import msgspec

    from gateway.runtime.gateway import Gateway
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.plugins import discover

    configure_logging(msgspec.structs.replace(config.log, level="warning"))
    gateway = Gateway(config, discover())
    async with gateway.standing_by(request.destination):
        if request.dry_run:
            _show_plan(await gateway.replays.plan(request))
            return
        now = begun = await gateway.replays.start(request)
        with _bar() as bar:
            task = _task(bar, begun)
            while now.state == "running":
                await gateway.replays.wait(begun.id, _LOOK_EVERY_SECONDS)
                now = await gateway.replays.progress(begun.id) or now
                bar.update(task, completed=now.offsets_done, sent=now.replayed)
        _show_end(now)


# -- showing --------------------------------------------------------------------


def _bar() -> Bar:
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% of the queue, {task.fields[sent]:,} events sent"),
        TimeRemainingColumn(),
    )


def _task(bar: Bar, begun: Progress) -> TaskID:
    return bar.add_task(f"replay {begun.id} to {begun.destination}", total=begun.offsets, sent=0)


def _show_plan(plan: Plan) -> None:
    sent = plan.chosen - sum(plan.kept_back.values())
    say(f"{plan.chosen:,} events would be replayed, {sent:,} of them sent:")
    for name, number in plan.names.items():
        say(f"  {number:>12,}  {name}")
    for rule, number in plan.kept_back.items():
        say(f"  {number:>12,}  kept back: {rule}")
    if plan.pending:
        say(f"{plan.pending:,} more are left out: they are still to be delivered anyhow")


def _show_end(now: Progress) -> None:
    text = {"done": "is done", "cancelled": "was cancelled"}.get(now.state, now.state)
    say(f"replay {now.id} {text}: {now.replayed:,} events came in again")
    if now.detail:
        say(now.detail, err=True)
    if now.state == "failed":
        raise SystemExit(1)
