"""The shell: ``gateway sql`` without SQL, in a terminal."""

from __future__ import annotations

import re
import readline
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway import GatewayError, say
from headgate_lake.columns import COLUMNS
from headgate_lake.sql.guard import FIXED_VIEWS
from headgate_lake.sql.history import MOST_STATEMENTS
from headgate_lake.sql.output import print_answer
from headgate_lake.sql.runner import Query, Runner
from headgate_lake.sql.views import TYPE_VIEWS, quoted_name

__all__ = ["Shell", "completions", "is_complete"]

_KEYWORDS = (
    "AND ARG_MAX AS ASC BETWEEN BY CASE CAST COUNT DATE_TRUNC DESC DESCRIBE DISTINCT ELSE END "
    "EXISTS FILTER FROM GROUP HAVING IN INTERVAL IS JOIN LEFT LIKE LIMIT MAX MIN NOT NULL ON OR "
    "ORDER OVER PARTITION QUALIFY QUANTILE_CONT SELECT SUM SUMMARIZE THEN TRUE UNION USING WHEN "
    "WHERE WINDOW WITH"
)

_HELP = """\
One SELECT, over one or more lines, ends with `;`.
  \\d          list the views
  \\d VIEW     list the columns of a view
  \\q          leave (or Ctrl-D)
Ctrl-C ends the query that runs. Tab completes views, columns and keywords."""

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)


def is_complete(text: str) -> bool:
    """Tells if a text ends with a semicolon that is neither in quotes nor in a comment."""
    rest = _QUOTED.sub("", text).rstrip()
    return rest.endswith(";") and not any(open_ in rest for open_ in ("'", '"', "/*"))


def completions(start: str, names: list[str]) -> list[str]:
    """Returns the names and keywords that begin with a text, whatever its case."""
    folded = start.casefold()
    found = sorted(name for name in names if name.casefold().startswith(folded))
    words = [word for word in _KEYWORDS.split() if word.casefold().startswith(folded)]
    return found + (words if start[:1].isupper() else [word.lower() for word in words])


class Shell:
    """Reads statements and prints their answers.

    Args:
        query: has the range and the zone of all queries.
        style: table, csv or json.
        history: file of the history.
        read: reads a line after a prompt.
    """

    def __init__(
        self,
        runner: Runner,
        query: Query,
        style: str,
        history: Path,
        read: Callable[[str], str] = input,
    ) -> None:
        self._runner = runner
        self._query = query
        self._style = style
        self._history = history
        self._read = read
        self._names = [*FIXED_VIEWS, *TYPE_VIEWS, *(column.name for column in COLUMNS)]

    def run(self) -> None:
        """Runs until the end of the input."""
        say("One SELECT ends with `;`. \\d lists the views, \\? shows help, \\q leaves.")
        self._prepare()
        while (statement := self._statement()) is not None:
            try:
                self._obey(statement)
            except KeyboardInterrupt:
                say("cancelled", err=True)
            except GatewayError as error:
                say(str(error), err=True)

    def _statement(self) -> str | None:
        """Reads one statement or command; None at the end."""
        lines: list[str] = []
        while True:
            try:
                lines.append(self._read("...> " if lines else "sql> "))
            except EOFError:
                say()
                return None
            except KeyboardInterrupt:
                say()
                lines = []
                continue
            text = "\n".join(lines).strip()
            if text in {"\\q", "exit", "quit"}:
                return None
            if not text:
                lines = []
            elif text.startswith("\\") or text == "help" or is_complete(text):
                return text

    def _obey(self, statement: str) -> None:
        self._remember(statement)
        command, _, rest = statement.partition(" ")
        if command in {"\\?", "help"}:
            say(_HELP)
        elif command == "\\d" and rest.strip():
            self._describe(rest.strip().rstrip(";").strip('"'))
        elif command == "\\d":
            self._list()
        elif command.startswith("\\"):
            say(f"there is no command {command}; \\? lists them", err=True)
        else:
            self._print(statement)

    def _list(self) -> None:
        views = self._runner.views()
        for name in (*FIXED_VIEWS, *TYPE_VIEWS):
            say(name)
        for name, event in views.items():
            if name.isidentifier():
                say(name if name == event else f"{name}   {event}")

    def _describe(self, view: str) -> None:
        columns = 'column_name AS "column", column_type AS type'
        self._print(f"SELECT {columns} FROM (DESCRIBE {quoted_name(view)})")  # noqa: S608

    def _print(self, statement: str) -> None:
        query = msgspec.structs.replace(self._query, sql=statement)
        answer = self._runner.run(query)
        print_answer(answer, self._style)
        self._names = sorted({*self._names, *(column.name for column in answer.columns)})

    def _prepare(self) -> None:
        with suppress(OSError):
            readline.read_history_file(self._history)
        readline.set_history_length(MOST_STATEMENTS)
        readline.set_auto_history(False)
        readline.set_completer(self._complete)
        # The one of macOS has another syntax.
        editline = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")
        with suppress(GatewayError):
            views = self._runner.views()
            self._names += [name for name in views if name.isidentifier()]

    def _complete(self, text: str, number: int) -> str | None:
        found = completions(text, self._names)
        return found[number] if number < len(found) else None

    def _remember(self, statement: str) -> None:
        """Adds a statement to the history, in one line, at once.

        So a file that an erasure has deleted in the meantime stays without the older statements.
        """
        line = " ".join(statement.splitlines())
        readline.add_history(line)
        with suppress(OSError):
            self._history.touch(mode=0o600)
            kept = self._history.read_text(encoding="utf-8").splitlines()
            lines = [*kept, line][-MOST_STATEMENTS:]
            self._history.write_text("\n".join(lines) + "\n", encoding="utf-8")
