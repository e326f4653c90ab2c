"""``gateway rollout``: shows rollouts, and lets them go on, wait, or turn back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json, say
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.config.model import Config
    from gateway.rollouts.machine import Action
    from gateway.rollouts.store import RolloutStore
    from gateway.rollouts.view import Report, View

__all__ = ["rollout"]


@click.group()
def rollout() -> None:
    """Rollouts of groups that have a `ramp`: see them, go on, wait, turn back.

    Asks the running gateway. If none runs, the commands change its file.
    """


@rollout.command("list")
@place_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(place: Place, as_json: bool) -> None:
    """List all rollouts, a line for each."""
    from gateway.cli.console import Console
    from gateway.cli.views.rollout import shown_list

    with explained_errors():
        views = _open(place).views()
    if as_json:
        print_json(views)
    elif views:
        Console(highlight=False).print(shown_list(views))
    else:
        say("no group has a ramp")


@rollout.command()
@place_options
@click.argument("group", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(place: Place, group: str, as_json: bool) -> None:
    """Show the stage of a rollout, what it waits for, and its guardrails.

    Exit code 1 if a guardrail has stopped it and nobody has decided since.
    """
    from gateway.cli.console import Console
    from gateway.cli.views.rollout import shown_view

    with explained_errors():
        view = _open(place).report(group).view
    if as_json:
        print_json(view)
    else:
        Console(highlight=False).print(shown_view(view))
    if view.needs_somebody:
        raise SystemExit(1)


@rollout.command()
@place_options
@click.argument("group", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with charts; it needs no network.",
)
def report(place: Place, group: str, as_json: bool, html: Path | None) -> None:
    """Show both arms, each metric with its interval over time, and all decisions."""
    from gateway.cli.console import Console
    from gateway.cli.views.rollout import shown_report

    with explained_errors():
        found = _open(place).report(group)
        if html is not None:
            from gateway.cli.views.rollout_html import write_page

            write_page(found, html)
            say(f"{html} is written", err=as_json)
    if as_json:
        print_json(found)
    elif html is None:
        Console(highlight=False).print(shown_report(found))


def _acting(action: Action, text: str) -> None:
    """Adds a command that decides."""

    @rollout.command(action, help=text, short_help=text.partition("\n")[0])
    @place_options
    @click.argument("group", metavar="ID")
    @click.option("--reason", default="", help="For the history and the audit trail.")
    def command(place: Place, group: str, reason: str) -> None:
        from gateway.cli.console import Console
        from gateway.cli.views.rollout import shown_view

        with explained_errors():
            view = _open(place).act(group, action, reason)
        Console(highlight=False).print(shown_view(view))


_acting("promote", "Go on to the next stage now, despite the hold and the guardrails.")
_acting("hold", "Stay at this stage until `resume`. Guardrails may still roll back.")
_acting(
    "resume",
    "Go on after a hold, or begin the ramp again after a rollback.\n\nThe stage starts over: "
    "its hold, its samples and its tests.",
)
_acting("rollback", "Put everybody into the control arm, from the next event on.")


class _ByGateway:
    """Access over the admin API of a running gateway."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def views(self) -> list[View]:
        import msgspec

        from gateway.rollouts.view import View

        return msgspec.convert(self._remote.get("/admin/rollouts"), list[View])

    def report(self, group: str) -> Report:
        import msgspec

        from gateway.rollouts.view import Report

        return msgspec.convert(self._remote.get(f"/admin/rollouts/{group}"), Report)

    def act(self, group: str, action: Action, reason: str) -> View:
        import msgspec

        from gateway.rollouts.view import View

        answer = self._remote.post(f"/admin/rollouts/{group}/{action}", {"reason": reason})
        return msgspec.convert(answer, View)


class _ByFile:
    """Access to the file of a data directory, with or without a running gateway."""

    def __init__(self, config: Config, store: RolloutStore) -> None:
        self._config = config
        self._store = store

    def views(self) -> list[View]:
        return [
            self.report(name).view
            for name, group in self._config.groups.items()
            if group.ramp and name in self._store.all()
        ]

    def report(self, group: str) -> Report:
        from gateway.events.timestamps import now_ms
        from gateway.rollouts.offline import stored_report

        return stored_report(self._config, self._store, group, now_ms())

    def act(self, group: str, action: Action, reason: str) -> View:
        from gateway.events.timestamps import now_ms
        from gateway.rollouts.offline import act_on_file
        from gateway.state import STATE_FILE
        from gateway.state.audit_trail import local_actor, record_offline

        at_ms, who = now_ms(), local_actor()
        act_on_file(self._config, self._store, group, action, at_ms, who, reason)
        view = self.report(group).view
        detail = {"group": group, "reason": reason, "percent": view.percent}
        path = self._config.data_dir / STATE_FILE
        record_offline(path, at_ms, who, f"rollouts.{action}", detail)
        return view


def _open(place: Place) -> _ByGateway | _ByFile:
    """Returns access by the running gateway, or by the file if none runs."""
    from gateway.cli.admin_client import connect
    from gateway.errors import GatewayError
    from gateway.rollouts.offline import store_of
    from gateway.rollouts.store import FILE_NAME

    remote = connect(place)
    if remote is not None:
        return _ByGateway(remote)
    config = place.config
    path = config.shared_dir / FILE_NAME
    if not path.exists():
        raise GatewayError(f"{path}: there are no rollouts; has the gateway run with a ramp?")
    return _ByFile(config, store_of(config.shared_dir))
