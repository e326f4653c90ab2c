"""The figures of a product, computed from the event lake.

How a question becomes an answer (`answers.answer`):

1. `resolve` looks at the range as a whole. It refuses misspelt events and fields, empty ranges, and
   samples without weights, and makes the `Scope`.
2. The figure writes one SELECT (`Figure.statement`). Its rows of events come from `Scope.events`,
   which alone knows who is a person, which events count, and what a weight is. Periods come from
   `Scope.period`.
3. The figure turns the rows into a `Result`: tidy rows (one for each number; CSV, JSON and chart
   show exactly these), headlines (which ranges and arms are compared by), and notes.
4. `terminal` prints the figure's table and what its numbers are made of; `pictures` draws its
   chart.

How to add a figure: write `figures/NAME.py` and list NAME in `registry.BUILTINS`. The file has

* an options Struct. The first line of its docstring is the help of ``gateway insights NAME``, and
  the ``Meta(description=...)`` of each field is the help of an option;
* a row Struct. Rows that are shares inherit `intervals.Share`; a row of a period has ``complete``;
* a `Figure` with ``title``, ``reading``, ``selectors`` and the six methods;
* ``SPEC = FigureSpec(type=NAME, config=..., build=...)``.

Rules for its SQL: values pass through `literals.literal`; people are summed by ``w`` (made with
`Scope.entry_weight`), and the squares of ``w`` give the interval; periods that are not over stay
out of averages (`Scope.is_complete`). `figures/retention.py` is the model. Its tests are a worked
example, identities that must hold, and a second implementation without SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import CommandSpec, FigureSpec, hookimpl

__all__ = ["__version__", "register_commands", "register_figures"]

__version__ = "0.1.0"


@hookimpl
def register_figures(register: Callable[[FigureSpec[Any]], None]) -> None:
    """Registers the figures of this package."""
    from headgate_insights.registry import register_own

    register_own(register)


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Registers ``gateway insights``."""
    words = "Answer questions about users: who comes back, who leaves."
    register(CommandSpec("insights", words, "headgate_insights.command:insights"))
