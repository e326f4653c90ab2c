"""``gateway jobs``: lists the jobs of packages, and runs one now."""

from __future__ import annotations

import time
import urllib.parse
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json, say
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.runtime.jobs import JobStatus

__all__ = ["jobs"]

_ASK_AGAIN_SECONDS = 0.2


@click.group()
def jobs() -> None:
    """List the jobs of packages, or run one now. A gateway must be running."""


@jobs.command("list")
@place_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_jobs(place: Place, as_json: bool) -> None:
    """List all jobs with their schedule, last run and next run.

    Exit code 1 if the last run of one did not succeed.
    """
    from gateway.cli.admin_client import required
    from gateway.cli.console import Console
    from gateway.cli.views.jobs import job_trouble, jobs_table

    with explained_errors():
        found = _ask(required(place))
    failed = [one for one in found if one.failing]
    if as_json:
        print_json(found)
    elif not found:
        say("there are no jobs: no installed package registers one, or config switches them off")
    else:
        console = Console(highlight=False)
        console.print(jobs_table(found))
        for one in failed:
            console.print(job_trouble(one))
    if failed:
        raise SystemExit(1)


@jobs.command("run")
@place_options
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Do not wait for its end.")
@click.option("--json", "as_json", is_flag=True, help="Print its state as JSON.")
def run_job(place: Place, name: str, no_wait: bool, as_json: bool) -> None:
    """Run a job now, and wait for its end. Its schedule goes on as before.

    Exit code 1 if the run does not succeed. Ctrl-C ends the waiting, not the job.
    """
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.runtime.jobs import JobStatus

    with explained_errors():
        remote = required(place)
        path = f"/admin/jobs/{urllib.parse.quote(name, safe='')}/run"
        found = msgspec.convert(remote.post(path), JobStatus)
        while found.running and not no_wait:
            time.sleep(_ASK_AGAIN_SECONDS)
            found = next((one for one in _ask(remote) if one.name == name), found)
    if as_json:
        print_json(found)
    elif found.running:
        say(f"{name}: is running; `gateway jobs list` shows its end")
    else:
        detail = f": {found.detail}" if found.detail else ""
        say(f"{name}: {found.outcome} after {found.seconds:,.1f} s{detail}")
    if not found.running and found.outcome != "ok":
        raise SystemExit(1)


def _ask(remote: Remote) -> list[JobStatus]:
    import msgspec

    from gateway.runtime.jobs import JobStatus

    return msgspec.convert(remote.get("/admin/jobs"), list[JobStatus])
