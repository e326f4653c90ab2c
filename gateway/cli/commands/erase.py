"""``gateway erase``: erases users everywhere, and shows the result place by place."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.cli.erase_task import EraseTask
    from gateway.privacy.regulations import Report

__all__ = ["erase"]

_LOOK_SECONDS = 0.2


@click.command()
@place_options
@click.option("--user", "users", multiple=True, help="A userId; may be repeated.")
@click.option("--anonymous", multiple=True, help="An anonymousId; may be repeated.")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="UserIds, one to a line; any number.",
)
@click.option("--suppress", is_flag=True, help="Also refuse all events of the users from now on.")
@click.option("--internal", is_flag=True, help="Only in the gateway itself, at no destination.")
@click.option("--list", "list_", is_flag=True, help="Only list the regulations there are.")
@click.option("--retry", type=int, metavar="ID", help="Only retry the failures of this regulation.")
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(
    place: Place,
    users: tuple[str, ...],
    anonymous: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    yes: bool,
    **how: Any,
) -> None:
    """Erase stored data of users: in the queue, retry lanes, dead letters and destinations.

    Asks the running gateway, which goes on delivering. Without one, the command does the work
    itself. After an interruption, the gateway or the next call continues. Exit code 1 if a place
    failed or needs a person.
    """
    from gateway.cli.erase_task import EraseTask
    from gateway.cli.views.erase import show_progress, show_report

    ids = [*users, *_lines(file)]
    show = (lambda text: None) if as_json else show_progress
    task = EraseTask.of(ids, anonymous, show=show, **how)
    if not (task.subjects or task.list_only or task.retry is not None):
        raise click.UsageError("name somebody with --user, --anonymous or --file")
    if how["suppress"] and anonymous:
        raise click.UsageError("--suppress is by userId only")
    number = len(set(ids)) + len(set(anonymous))
    if number and not (yes or task.list_only or task.retry is not None):
        click.confirm(f"Erase all that is stored of {number:,} users, for good?", abort=True)
    with explained_errors():
        reports = asyncio.run(_run(place, task))
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            show_report(report)
    if not task.list_only and any(r.status in ("FAILED", "PARTIAL_SUCCESS") for r in reports):
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


async def _run(place: Place, task: EraseTask) -> list[Report]:
    from gateway.cli.admin_client import connect
    from gateway.cli.erase_offline import erase_offline

    remote = connect(place)
    if remote is not None:
        return await asyncio.to_thread(_ask, remote, task)
    return await erase_offline(place.config, task)


def _ask(remote: Remote, task: EraseTask) -> list[Report]:
    """Has the running gateway do it, and waits until it is done."""
    if task.list_only:
        return _reports(remote.get("/admin/regulations"))
    created = []
    if task.retry is not None:
        created += _reports([remote.post(f"/admin/regulations/{task.retry}/retry")])
    for subjects in task.subjects:
        asked = {
            "kind": task.kind,
            "user_ids": sorted(subjects.users),
            "anonymous_ids": sorted(subjects.anonymous),
        }
        created += _reports([remote.post("/admin/regulations", asked)])
    found = []
    for report in created:
        while True:
            [now] = _reports([remote.get(f"/admin/regulations/{report.id}")])
            task.show(now.progress)
            if now.settled:
                break
            time.sleep(_LOOK_SECONDS)
        found.append(now)
    return found


def _reports(found: Any) -> list[Report]:
    from gateway.privacy.regulations import Report

    return msgspec.convert(found, list[Report])
