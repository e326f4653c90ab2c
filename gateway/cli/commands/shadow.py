"""``gateway shadow``: shows what a shadow would have sent, and compares it with its original."""

from __future__ import annotations

import urllib.parse

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options

__all__ = ["shadow"]


@click.command()
@place_options
@click.argument("destination")
@click.option("--examples", default=3, show_default=True, help="How many events to show, at most.")
@click.option("--recent", is_flag=True, help="Show the newest requests instead of the differences.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def shadow(place: Place, destination: str, examples: int, recent: bool, as_json: bool) -> None:
    """Show what a shadow has found since the config was last read.

    Exit code 1 if the shadow would have sent something else than its original.
    """
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.cli.console import Console
    from gateway.cli.views.shadow import show
    from gateway.delivery.shadow.report import ShadowReport

    with explained_errors():
        remote = required(place)
        path = f"/admin/shadows/{urllib.parse.quote(destination, safe='')}"
        # Decoded from bytes: only there does an absent value of a change differ from null.
        answer = msgspec.json.encode(remote.get(path))
        found = msgspec.json.decode(answer, type=ShadowReport)
    if as_json:
        print_json(answer)
    else:
        show(Console(highlight=False), found, examples, recent=recent)
    if any(found.counts.get(outcome) for outcome in ("different", "only_shadow", "only_live")):
        raise SystemExit(1)
