"""Prints for commands, with all characters escaped that would act on a terminal."""

from __future__ import annotations

from typing import Any

import click

from gateway.events.printing import printable_json, printable_lines

__all__ = ["print_json", "say"]


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Prints a text."""
    click.echo(printable_lines(text), err=err, nl=nl)


def print_json(value: Any) -> None:
    """Prints a value as JSON in one line; a text or bytes are JSON already."""
    if isinstance(value, str):
        click.echo(printable_json(value))
        return
    import msgspec

    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    # A client may have sent line breaks between the tokens of its JSON.
    click.echo(printable_json(msgspec.json.format(data, indent=-1).decode()))
