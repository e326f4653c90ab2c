"""``gateway erase``: forget users everywhere, and show what became of it place by place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json, say

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.config.model import Config
    from gateway.events.subjects import Subjects
    from gateway.privacy.regulations import Kind, Report
    from gateway.runtime.gateway import Gateway

__all__ = ["erase"]

_LOOK_SECONDS = 0.2


@click.command()
@CONFIG_OPTION
@click.option("--user", "users", multiple=True, help="A userId; may be repeated.")
@click.option("--anonymous", multiple=True, help="An anonymousId; may be repeated.")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="UserIds, one to a line; any number.",
)
@click.option("--suppress", is_flag=True, help="And take in nothing of the users from now on.")
@click.option("--internal", is_flag=True, help="Only from the gateway itself, at no destination.")
@click.option("--list", "list_", is_flag=True, help="Only list the regulations there are.")
@click.option("--retry", type=int, metavar="ID", help="Only try again what failed of this one.")
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(
    config_path: Path,
    users: tuple[str, ...],
    anonymous: tuple[str, ...],
    file: Path | None,
    suppress: bool,
    internal: bool,
    list_: bool,
    retry: int | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Erase what is stored of users: in the queue, retry lanes, dead letters and destinations.

    Asks the running gateway, which goes on delivering; without one it works by itself. It can be
    interrupted: a gateway goes on with it, and so does the next call. Exit code 1 if a place failed
    or needs a person.
    """
    from gateway.config.load import load
    from gateway.events.subjects import Subjects

    ids = [*users, *_lines(file)]
    if not (ids or anonymous or list_ or retry is not None):
        raise click.UsageError("name somebody with --user, --anonymous or --file")
    if suppress and anonymous:
        raise click.UsageError("--suppress is by userId only")
    number = len(set(ids)) + len(set(anonymous))
    if number and not (yes or list_ or retry is not None):
        click.confirm(f"Erase all that is stored of {number:,} users, for good?", abort=True)
    with explained_errors():
        config = load(config_path)
        reports = asyncio.run(
            _do(
                config,
                _kind(suppress=suppress, internal=internal),
                [Subjects(frozenset(part)) for part in _parts(ids)]
                + [Subjects(frozenset(), frozenset(part)) for part in _parts(anonymous)],
                retry,
                list_,
                _silent if as_json else _show_progress,
            )
        )
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            _show(report)
    if not list_ and any(r.status in ("FAILED", "PARTIAL_SUCCESS") for r in reports):
        raise click.exceptions.Exit(1)


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise click.BadParameter(
            f"is not UTF-8 (byte {error.start})", param_hint="--file"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def _parts(ids: tuple[str, ...] | list[str]) -> list[list[str]]:
    from gateway.events.subjects import MOST_SUBJECTS

    unique = list(dict.fromkeys(ids))
    return [unique[at : at + MOST_SUBJECTS] for at in range(0, len(unique), MOST_SUBJECTS)]


def _kind(*, suppress: bool, internal: bool) -> Kind:
    if suppress:
        return "SUPPRESS_WITH_DELETE_INTERNAL" if internal else "SUPPRESS_WITH_DELETE"
    return "DELETE_INTERNAL" if internal else "DELETE_ONLY"


async def _do(
    config: Config,
    kind: Kind,
    whose: list[Subjects],
    retry: int | None,
    list_: bool,
    show: Callable[[str], None],
) -> list[Report]:
    from gateway.cli.admin_client import connect, required

    if connect(config) is not None:
        return await asyncio.to_thread(_ask, required(config), kind, whose, retry, list_, show)
    return await _alone(config, kind, whose, retry, list_, show)


# -- a running gateway ---------------------------------------------------------------


def _ask(
    remote: Remote,
    kind: Kind,
    whose: list[Subjects],
    retry: int | None,
    list_: bool,
    show: Callable[[str], None],
) -> list[Report]:
    if list_:
        return _reports(remote.get("/admin/regulations"))
    made = []
    if retry is not None:
        made += _reports([remote.post(f"/admin/regulations/{retry}/retry")])
    for subjects in whose:
        asked = {
            "kind": kind,
            "user_ids": sorted(subjects.users),
            "anonymous_ids": sorted(subjects.anonymous),
        }
        made += _reports([remote.post("/admin/regulations", asked)])
    found = []
    for report in made:
        while True:
            [now] = _reports([remote.get(f"/admin/regulations/{report.id}")])
            show(now.progress)
            if now.settled:
                break
            time.sleep(_LOOK_SECONDS)
        found.append(now)
    return found


def _reports(found: Any) -> list[Report]:
    from gateway.privacy.regulations import Report

    return msgspec.convert(found, list[Report])


# -- none ------------------------------------------------------------------------------


async def _alone(
    config: Config,
    kind: Kind,
    whose: list[Subjects],
    retry: int | None,
    list_: bool,
    show: Callable[[str], None],
) -> list[Report]:
    """Go through the shards of all workers; the first leads, the others are told by it."""
    from gateway.cluster.regulations import LocalShards
    from gateway.config.data_dir import name_of, shards_of, take_lock
    from gateway.config.settings import LogConfig
    from gateway.runtime.gateway import Gateway
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.plugins import discover

    configure_logging(LogConfig(level="error"))
    registry = discover()
    async with AsyncExitStack() as stack:
        # Held over all shards, so that no gateway starts between two of them.
        stack.enter_context(take_lock(config.shared_dir))
        gateways = [
            await stack.enter_async_context(
                Gateway(one, registry, locked=one.shard == 0).at_rest(begin=False)
            )
            for one in shards_of(config)
        ]
        if list_:
            return [
                _public(report, gateway)
                for gateway in gateways
                for report in await gateway.regulations.all()
            ]
        lead, *others = gateways
        if others:
            workers = config.server.workers
            lead.regulations.others = LocalShards(
                {name_of(gateway.config.shard, workers): gateway for gateway in others}
            )
        made = [] if retry is None else [await _again(gateways, retry)]
        made += [(lead, id_) for id_ in await _write_down(lead, kind, whose)]
        for gateway in gateways:
            await gateway.regulations.start()
        return [_public(await _settled(gateway, id_, show), gateway) for gateway, id_ in made]


async def _again(gateways: list[Gateway], retry: int) -> tuple[Gateway, int]:
    from gateway.config.data_dir import shard_of
    from gateway.errors import GatewayError
    from gateway.state.audit_trail import local_actor

    shard, id_ = shard_of(retry)
    for gateway in gateways:
        if gateway.config.shard == shard and await gateway.regulations.retry(id_) is not None:
            await gateway.audit.record(local_actor(), "regulations.retry", {"id": retry})
            return gateway, id_
    raise GatewayError(f"there is no regulation {retry}")


async def _write_down(gateway: Gateway, kind: Kind, whose: list[Subjects]) -> list[int]:
    from gateway.state.audit_trail import local_actor

    made = []
    for subjects in whose:
        report = await gateway.regulations.create(kind, subjects, local_actor())
        detail = {"id": report.id, "kind": kind, "subjects": len(subjects)}
        await gateway.audit.record(local_actor(), "regulations.create", detail)
        made.append(report.id)
    return made


async def _settled(gateway: Gateway, id_: int, show: Callable[[str], None]) -> Report:
    while True:
        now = await gateway.regulations.wait(id_, _LOOK_SECONDS)
        assert now is not None
        show(now.progress)
        if now.settled:
            return now


def _public(report: Report, gateway: Gateway) -> Report:
    from msgspec import structs

    from gateway.config.data_dir import public_id

    return structs.replace(report, id=public_id(gateway.config.shard, report.id))


# -- showing --------------------------------------------------------------------------


def _silent(_: str) -> None:
    pass


def _show_progress(text: str) -> None:
    if text:
        if _is_terminal():
            click.echo("\r\x1b[K", err=True, nl=False)
        say(text, err=True, nl=not _is_terminal())


def _is_terminal() -> bool:
    import sys

    return sys.stderr.isatty()


def _show(report: Report) -> None:
    from rich.markup import escape
    from rich.table import Table

    from gateway.cli.console import Console

    console = Console(highlight=False)
    console.print(
        f"[bold]regulation {report.id}[/]  {report.kind}  {report.subjects:,} ids  "
        f"[bold]{report.status}[/]  {report.created_at}"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("place", "status", "items", ""):
        table.add_column(heading, justify="right" if heading == "items" else "left")
    for place in report.places:
        table.add_row(escape(place.place), place.status, f"{place.items:,}", escape(place.detail))
    console.print(table)
