"""``gateway reload``: makes a running gateway read its config file again."""

from __future__ import annotations

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import say
from gateway.cli.place import Place, place_options
from gateway.events.printing import printable

__all__ = ["reload"]

_WAIT_SECONDS = 600.0
"""Time for the sends in flight to changed destinations, which end first."""


@click.command()
@place_options
def reload(place: Place) -> None:
    """Make the running gateway read its config file again, and show what has changed.

    No connection is dropped and no event is lost. Exit code 2 if the file cannot be used; the
    gateway then keeps its old config.
    """
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.runtime.reload import Reloaded

    with explained_errors():
        remote = required(place)
        done = msgspec.convert(remote.post("/admin/reload", seconds=_WAIT_SECONDS), Reloaded)
    say(f"the config file is used as it is now ({done.hash})")
    for change in done.changes or ["nothing has changed"]:
        say(f"  {printable(change)}")
    for key in done.waits:
        say(f"  {printable(key)} takes effect at the next start")
