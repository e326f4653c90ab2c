"""``gateway why``: tells the life of one event."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.state.trace import Life

__all__ = ["why"]


@click.command()
@place_options
@click.argument("message_id")
@click.option("--event", "with_event", is_flag=True, help="Show the event itself, as it is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def why(place: Place, message_id: str, with_event: bool, as_json: bool) -> None:
    """Tell the whole life of the event with this messageId, and where it is now.

    Asks the running gateway, or reads the data directory. Exit code 1 if the event is unknown.
    """
    with explained_errors():
        found = _ask(place, message_id)
    if as_json:
        print_json(found)
    else:
        from gateway.cli.views.why import show

        show(found, with_event=with_event)
    if not found:
        raise SystemExit(1)


def _ask(place: Place, message_id: str) -> Life:
    import msgspec

    from gateway.cli.admin_client import connect
    from gateway.config.data_dir import shards_of
    from gateway.state.offline import life_of
    from gateway.state.trace import Life, merge_lives

    remote = connect(place)
    if remote is not None:
        answer = remote.get(f"/admin/why/{urllib.parse.quote(message_id, safe='')}")
        return msgspec.json.decode(msgspec.json.encode(answer), type=Life)
    return merge_lives([life_of(one, message_id) for one in shards_of(place.config)], message_id)
