"""``gateway demo-history``, which ``gateway demo --history`` calls."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import CONFIG_OPTION, GatewayError, Scope, explained_errors, load_scope, say
from headgate_demo.examples import examples
from headgate_demo.lakes import fill, load_of, loads
from headgate_demo.people import Plan

if TYPE_CHECKING:
    from headgate_lake import Storage

__all__ = ["demo_history"]

_CURRENCY = "EUR"
_SPEND_FILE = "demo-spend.csv"


@click.command("demo-history")
@click.option(
    "--days", type=click.IntRange(14, 365), default=90, show_default=True, help="Its length."
)
@click.option(
    "--people",
    type=click.IntRange(200, 50_000),
    default=12_000,
    show_default=True,
    help="How many people come to the shop; 12,000 make some 340,000 events.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="The same seed makes the same history on the same day.",
)
@click.option("--yes", is_flag=True, help="Also into a lake that holds other events.")
@click.option("--remove", is_flag=True, help="Take the history out of the lake again.")
@click.option("--lake", "lake_id", metavar="ID", help="The lake, if there are several.")
@CONFIG_OPTION
def demo_history(
    days: int,
    people: int,
    seed: int,
    *,
    yes: bool,
    remove: bool,
    lake_id: str | None,
    config_path: Path,
) -> None:
    """Fill the lake with the past of a simulated shop, up to today.

    No gateway needs to run. The same history is never there twice; another one takes the place of
    the first.
    """
    with explained_errors():
        scope = load_scope(config_path)
        storage = _storage(scope, lake_id)
        if remove:
            _remove(scope, storage)
            return
        today = datetime.fromtimestamp(scope.clock() / 1000, UTC).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        plan = Plan(today, days, people, seed)
        _fill(scope, storage, plan, mix=yes)
        spend = _write_spend(scope, plan)
    say("Try:")
    for line in examples(config_path, lake_id, spend):
        say(f"  {line}")


def _storage(scope: Scope, lake_id: str | None) -> Storage:
    from headgate_lake import find_storage

    return find_storage(scope, lake_id)


def _fill(scope: Scope, storage: Storage, plan: Plan, *, mix: bool) -> None:
    from headgate_demo.history import simulate
    from headgate_lake import explained

    currency = scope.project.currency or _CURRENCY
    load = load_of(plan, currency)
    folder = storage.root
    place = explained(folder, lambda: loads(storage))
    if place.others and not mix:
        raise GatewayError(
            f"{folder}: holds events of your own, and figures would count the shop's with them. "
            "Use a config with another lake, or --yes; --remove-history takes the shop's events "
            "out again"
        )
    for old in place.demos:
        if old != load:
            gone = explained(folder, partial(_unload, storage, old))
            say(f"removed the history that was there: {gone:,} events")
    with click.progressbar(length=plan.people, label="people come and go", width=30) as bar:
        history = simulate(plan, currency, lambda: bar.update(1))
    events = history.events

    def write() -> int:
        with click.progressbar(length=len(events), label="into the lake     ", width=30) as bar:
            before = begin = -1
            for position in fill(storage, load, events, plan.end_ms):
                begin = position if begin < 0 else begin
                bar.update(position - max(before, 0))
                before = position
        return len(events) - begin

    added = explained(folder, write)
    if added:
        people = f"{len(history.truth.people):,} people"
        first = f"{plan.start:%Y-%m-%d}"
        say(f"{folder}: {added:,} events of {people}, from {first} to {plan.end:%Y-%m-%d}")
    else:
        say(f"{folder}: this history is there already, nothing was added")


def _remove(scope: Scope, storage: Storage) -> None:
    from headgate_lake import explained

    folder = storage.root
    demos = explained(folder, lambda: loads(storage)).demos
    gone = sum(explained(folder, partial(_unload, storage, load)) for load in demos)
    with suppress(FileNotFoundError):
        _spend_path(scope).unlink()
    say(f"{folder}: removed {gone:,} events" if demos else f"{folder}: holds no history")


def _unload(storage: Storage, load: str) -> int:
    from headgate_lake import unload

    aside = storage.root / "aside"
    return unload(
        storage,
        load,
        broken=lambda path, why: say(f"{path} cannot be read ({why}); it is in {aside} now"),
    )


def _spend_path(scope: Scope) -> Path:
    return scope.data_dir / _SPEND_FILE


def _write_spend(scope: Scope, plan: Plan) -> Path:
    from headgate_demo.spend import spend_csv

    path = _spend_path(scope)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(spend_csv(plan), encoding="utf-8")
    except OSError as error:
        raise GatewayError(f"{path}: cannot be written: {error.strerror}") from error
    return path
