"""``gateway dead``: what was given up, and why; send it again, or drop it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json, say
from gateway.events.printing import printable

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.config.model import Config
    from gateway.state import DeadLetter
    from gateway.state.dead_letters import Filter

__all__ = ["dead"]

_SHOWN = 50

# Heading to the width that a narrow terminal leaves it.
_COLUMNS = {
    "id": 4,
    "given up": 14,
    "destination": 6,
    "reason": 8,
    "event": 8,
    "user": 6,
    "why": 16,
}


@click.group()
def dead() -> None:
    """Dead letters: events that a destination will not get, and why.

    Works beside a running gateway, which notices what changes within a few seconds.
    """


def _selects(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say which dead letters are meant, and opens the store."""

    @CONFIG_OPTION
    @click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
    @click.option("--destination", "-d", help="Of this destination.")
    @click.option("--reason", help="rejected, expired or transform.")
    @click.option("--event", help="Track events of this name, or events of this type.")
    @click.option("--user", help="Of this userId or anonymousId.")
    @click.option("--since", type=click.DateTime(), help="Given up since then (UTC).")
    @click.option("--until", type=click.DateTime(), help="Given up until then (UTC).")
    @wraps(command)
    def wrapped(
        config_path: Path,
        ids: tuple[int, ...],
        destination: str | None,
        reason: str | None,
        event: str | None,
        user: str | None,
        since: datetime | None,
        until: datetime | None,
        **options: Any,
    ) -> None:
        from gateway.config.load import load
        from gateway.state.dead_letters import Filter

        with explained_errors():
            letters = _letters(load(config_path))
            which = Filter(ids, destination, reason, event, user, _ms(since), _ms(until))
            command(letters, which, **options)

    return wrapped


class _Letters(Protocol):
    """The dead letters of a running gateway, or of a data directory."""

    def find(self, which: Filter, limit: int) -> list[DeadLetter]: ...
    def count(self, which: Filter) -> dict[tuple[str, str], int]: ...
    def retry(self, which: Filter, now_ms: int) -> int: ...
    def drop(self, which: Filter) -> int: ...


class _Remote:
    """Those of a running gateway, over its admin API."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def find(self, which: Filter, limit: int) -> list[DeadLetter]:
        from gateway.state import DeadLetter

        found = self._ask("list", which, limit)
        return msgspec.json.decode(msgspec.json.encode(found), type=list[DeadLetter])

    def count(self, which: Filter) -> dict[tuple[str, str], int]:
        found = msgspec.convert(self._ask("count", which), list[tuple[str, str, int]])
        return {(destination, reason): number for destination, reason, number in found}

    def retry(self, which: Filter, now_ms: int) -> int:
        return int(self._ask("retry", which))

    def drop(self, which: Filter) -> int:
        return int(self._ask("drop", which))

    def _ask(self, what: str, which: Filter, limit: int = _SHOWN) -> Any:
        body = {"which": msgspec.to_builtins(which), "limit": limit}
        return self._remote.post(f"/admin/dead/{what}", body)


class _Files:
    """Those in the files of all shards; what is changed is written to the audit trail."""

    def __init__(self, shards: list[Config]) -> None:
        from gateway.state import STATE_FILE
        from gateway.state.dead_letters import DeadLetters

        paths = [(one.data_dir / STATE_FILE, one.shard) for one in shards]
        self._shards = [(path, DeadLetters(path, shard)) for path, shard in paths]

    def find(self, which: Filter, limit: int) -> list[DeadLetter]:
        from gateway.state.dead_letters import merge_letters

        return merge_letters([letters.find(which, limit) for _, letters in self._shards], limit)

    def count(self, which: Filter) -> dict[tuple[str, str], int]:
        total: Counter[tuple[str, str]] = Counter()
        for _, letters in self._shards:
            total.update(letters.count(which))
        return dict(sorted(total.items()))

    def retry(self, which: Filter, now_ms: int) -> int:
        return sum(
            self._recorded("dead.retry", which, path, letters.retry(which, now_ms))
            for path, letters in self._shards
        )

    def drop(self, which: Filter) -> int:
        return sum(
            self._recorded("dead.drop", which, path, letters.drop(which))
            for path, letters in self._shards
        )

    @staticmethod
    def _recorded(action: str, which: Filter, path: Path, events: int) -> int:
        from gateway.events.timestamps import now_ms
        from gateway.state.audit_trail import local_actor, record_offline

        detail = {"destination": which.destination, "reason": which.reason, "events": events}
        if events:
            record_offline(path, now_ms(), local_actor(), action, detail)
        return events


def _letters(config: Config) -> _Letters:
    """Of the running gateway, if it can be asked; else the files, which is safe beside it too."""
    from gateway.cli.admin_client import connect
    from gateway.config.data_dir import shards_of

    remote = connect(config)
    if remote is not None and remote.has_token:
        return _Remote(remote)
    return _Files(shards_of(config))


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * 1000)


@dead.command("list")
@_selects
@click.option("--limit", default=_SHOWN, show_default=True, help="So many of the newest.")
def list_(letters: _Letters, which: Filter, limit: int) -> None:
    """List dead letters, newest first, and how many there are for each reason."""
    from rich.table import Table

    from gateway.cli.console import Console

    entries = letters.find(which, limit)
    if not entries:
        say("no dead letters")
        return
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, least in _COLUMNS.items():
        table.add_column(
            heading, overflow="ellipsis", no_wrap=heading != "why", min_width=least or None
        )
    for entry in entries:
        table.add_row(*_cells(entry))
    console.print(table)
    for (destination, reason), number in letters.count(which).items():
        console.print(f"{destination}: {number:,} {reason}", markup=False)


def _cells(entry: DeadLetter) -> tuple[str, ...]:
    from rich.markup import escape

    event = msgspec.json.decode(entry.event)
    name = event.get("event") or event.get("name") or event.get("type") or ""
    user = event.get("userId") or event.get("anonymousId") or ""
    texts = (entry.destination, entry.reason, name, user, entry.detail)
    shown = (escape(printable(str(text))) for text in texts)
    return (str(entry.id), _when(entry.last_ms), *shown)


@dead.command()
@_selects
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object to a line.")
def show(letters: _Letters, which: Filter, as_json: bool) -> None:
    """Print dead letters whole: why, the last request and its answer, and the event."""
    from rich.markup import escape

    from gateway.cli.console import Console

    console = Console(highlight=False)
    for entry in letters.find(which, _SHOWN):
        if as_json:
            # A client may have sent line breaks between the tokens of its JSON.
            print_json(entry)
            continue
        console.print(
            f"[bold]{entry.id}[/]  {entry.destination}  [red]{entry.reason}[/] after "
            f"{entry.attempts} attempts, {_when(entry.first_ms)} to {_when(entry.last_ms)}"
        )
        console.print(f"  {escape(entry.detail)}")
        if entry.exchange:
            console.print("[dim]" + escape(entry.exchange) + "[/]", soft_wrap=True)
        console.print_json(bytes(entry.event).decode())


def _when(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%m-%d %H:%M:%S}"


def _confirm(letters: _Letters, which: Filter, yes: bool, question: str) -> None:
    number = 0 if yes else sum(letters.count(which).values())
    if number:
        click.confirm(question.format(number), abort=True)


@dead.command()
@_selects
@click.option("--yes", is_flag=True, help="Do not ask.")
def retry(letters: _Letters, which: Filter, yes: bool) -> None:
    """Send dead letters again, with the ids and times that they have."""
    from gateway.events.timestamps import now_ms

    _confirm(letters, which, yes, "Send {:,} dead letters again?")
    say(f"{letters.retry(which, now_ms()):,} events wait to be sent again")


@dead.command()
@_selects
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(letters: _Letters, which: Filter, yes: bool) -> None:
    """Throw dead letters away for good; they stay counted."""
    _confirm(letters, which, yes, "Throw {:,} dead letters away for good?")
    say(f"{letters.drop(which):,} dead letters are gone")
