"""Prints answers: a table for people, CSV and JSON for programs."""

from __future__ import annotations

import shutil
from textwrap import fill
from typing import Any

from gateway import Console, make_table, print_json, say
from headgate_lake.sql.encoding import csv_of, json_of, text_of
from headgate_lake.sql.runner import Answer, AnswerColumn

__all__ = ["cell", "print_answer", "print_footer"]

_CELL_CHARACTERS = 48
"""Characters of a value in a table; a record shows more."""

_RECORD_CHARACTERS = 2000

_NUMBERS = ("BIGINT", "DECIMAL", "DOUBLE", "FLOAT", "HUGEINT", "INTEGER", "SMALLINT", "TINYINT",
            "UBIGINT", "UHUGEINT", "UINTEGER", "USMALLINT", "UTINYINT")  # fmt: skip


def print_answer(answer: Answer, style: str) -> None:
    """Prints an answer.

    Args:
        style: table, csv or json.
    """
    if style == "json":
        print_json(json_of(answer))
        return
    if style == "csv":
        for line in csv_of(answer):
            say(line, nl=False)
        return
    width = shutil.get_terminal_size((80, 24)).columns
    cells = [[cell(value) for value in row] for row in answer.rows]
    if _table_width(answer.columns, cells) <= width:
        _print_table(answer.columns, cells)
    else:
        _print_records(answer.columns, cells, width)
    print_footer(answer)


def print_footer(answer: Answer) -> None:
    """Prints how many rows there are, and how long they took."""
    rows = "1 row" if answer.row_count == 1 else f"{answer.row_count:,} rows"
    more = "; there are more, see --rows" if answer.truncated else ""
    say(f"({rows} in {answer.seconds:.2f} s{more})")


def cell(value: Any) -> str:
    """Returns a value as one line of text."""
    if value is None:
        return "NULL"
    return text_of(value).replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")


def _table_width(columns: tuple[AnswerColumn, ...], cells: list[list[str]]) -> int:
    from rich.cells import cell_len

    widths = [
        max([cell_len(column.name), *(min(cell_len(row[n]), _CELL_CHARACTERS) for row in cells)])
        for n, column in enumerate(columns)
    ]
    return sum(widths) + 2 * max(0, len(widths) - 1)


def _print_table(columns: tuple[AnswerColumn, ...], cells: list[list[str]]) -> None:
    from rich.text import Text

    table = make_table()
    for column in columns:
        number = column.type.startswith(_NUMBERS)
        table.add_column(Text(column.name), justify="right" if number else "left", no_wrap=True)
    for row in cells:
        table.add_row(*(Text(_cut(text, _CELL_CHARACTERS)) for text in row))
    Console(highlight=False).print(table)


def _print_records(columns: tuple[AnswerColumn, ...], cells: list[list[str]], width: int) -> None:
    """Prints each row as a list of its values, for answers that are wider than the terminal.

    Columns that are NULL in all rows are named once, at the end.
    """
    shown = [n for n in range(len(columns)) if any(row[n] != "NULL" for row in cells)]
    name_width = max((len(columns[n].name) for n in shown), default=0)
    for number, row in enumerate(cells, 1):
        say(f"-- row {number} ".ljust(min(width, 60), "-"))
        for n in shown:
            say(f"{columns[n].name.ljust(name_width)}  {_cut(row[n], _RECORD_CHARACTERS)}")
    empty = [column.name for n, column in enumerate(columns) if n not in shown]
    if cells and empty:
        say(fill(f"NULL in all rows: {', '.join(empty)}", width, subsequent_indent="  "))
    elif not cells:
        names = ", ".join(column.name for column in columns)
        say(fill(f"columns: {names}", width, subsequent_indent="  "))


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
