"""Replays in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gateway.cli.output import say
from gateway.delivery.replay_request import Plan, Progress

__all__ = ["show_end", "show_line", "show_plan", "shown_progress"]


@contextmanager
def shown_progress(begun: Progress) -> Iterator[Callable[[Progress], None]]:
    """Shows a bar while the context lasts; gives the function that updates it."""
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% of the queue, {task.fields[sent]:,} events sent"),
        TimeRemainingColumn(),
    ) as bar:
        task = bar.add_task(
            f"replay {begun.id} to {begun.destination}", total=begun.offsets, sent=0
        )
        yield lambda now: bar.update(task, completed=now.offsets_done, sent=now.replayed)


def show_line(one: Progress) -> None:
    """Prints a replay in one line."""
    share = one.offsets_done / one.offsets if one.offsets else 1
    say(
        f"{one.id}  {one.created_at}  {one.destination}  {one.state}  "
        f"{share:.0%} looked at, {one.replayed:,} replayed  {one.detail}".rstrip()
    )


def show_plan(plan: Plan) -> None:
    """Prints the result of a dry run."""
    sent = plan.chosen - sum(plan.kept_back.values())
    say(f"{plan.chosen:,} events would be replayed, {sent:,} of them sent:")
    for name, number in plan.names.items():
        say(f"  {number:>12,}  {name}")
    for rule, number in plan.kept_back.items():
        say(f"  {number:>12,}  kept back: {rule}")
    if plan.pending:
        say(f"{plan.pending:,} more are left out: they are still to be delivered anyhow")


def show_end(now: Progress) -> None:
    """Prints the end of a replay.

    Raises:
        SystemExit: it has failed.
    """
    text = {"done": "is done", "cancelled": "was cancelled"}.get(now.state, now.state)
    say(f"replay {now.id} {text}: {now.replayed:,} events came in again")
    if now.detail:
        say(now.detail, err=True)
    if now.state == "failed":
        raise SystemExit(1)
