"""The commands below ``gateway lake``, one file each."""

from __future__ import annotations

import click

from headgate_lake.commands.compact import compact
from headgate_lake.commands.export import export
from headgate_lake.commands.import_ import import_
from headgate_lake.commands.rebuild import rebuild
from headgate_lake.commands.status import status
from headgate_lake.commands.verify import verify

__all__ = ["lake"]


@click.group()
def lake() -> None:
    """Look after the lake: the events as Parquet files."""


for _command in (status, verify, compact, rebuild, import_, export):
    lake.add_command(_command)
