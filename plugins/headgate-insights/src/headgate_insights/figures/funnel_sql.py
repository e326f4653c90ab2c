"""SQL of funnels: who reached which step, and when, by the rules of order and entry.

Each rule makes a WITH clause that ends with ``tries (unit, step, began, t)``: one row for each
step that an attempt reached, times in microseconds. There are three ways:

* in order, first entry: each step is a join to the attempt of a person, which keeps the earliest
  event after the step before. One row for each person, so it is the cheapest.
* in order, any entry: the events of a step are joined to the latest event before them that reached
  the previous step (ASOF). The latest such event belongs to the latest entry, so if its window is
  over, those of all earlier entries are. One join for each step finds the best of all entries.
* strict, any order: window functions look ahead from each event that can be an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from headgate_insights.durations import in_microseconds
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.literals import literal
from headgate_insights.scope import Scope

__all__ = ["Entry", "FunnelRules", "Order", "tries_sql"]

Order = Literal["order", "strict", "any"]
Entry = Literal["first", "any"]


@dataclass(frozen=True, slots=True)
class FunnelRules:
    """What counts as reaching a step.

    Attributes:
        window: the time from the first step to the last.
        excluded: events that end an attempt.
        held: SQL of the value that all steps must share; empty if there is none.
    """

    steps: Sequence[Selector]
    order: Order
    entry: Entry
    window: timedelta
    excluded: Sequence[Selector]
    held: str


def tries_sql(rules: FunnelRules, scope: Scope) -> str:
    """Returns the WITH clause that ends with ``tries``."""
    if rules.order == "order":
        return _in_order(rules, scope)
    return _strict(rules, scope) if rules.order == "strict" else _any_order(rules, scope)


def _columns(rules: FunnelRules) -> dict[str, str]:
    return {"t": "epoch_us(ts)", **({"held": rules.held} if rules.held else {})}


def _keys(rules: FunnelRules) -> str:
    return "unit, held" if rules.held else "unit"


def _no_null(rules: FunnelRules) -> str:
    return " AND held IS NOT NULL" if rules.held else ""


def _after(earlier: Selector, later: Selector) -> str:
    """Returns the comparison of a step's time with that of the step before.

    Events of the same time count in the order of the steps, unless one event could be both steps.
    """
    apart = earlier.named and later.named and earlier.named != later.named
    return ">=" if apart else ">"


def _in_order(rules: FunnelRules, scope: Scope) -> str:
    keys, steps, end = _keys(rules), rules.steps, scope.end + rules.window
    window = in_microseconds(rules.window)
    columns = _columns(rules)
    held = ", arg_min(held, ts) AS held" if rules.held else ""
    entries = scope.events(steps[0], scope.start, scope.end, columns) + _no_null(rules)
    parts = [
        f"entries AS (\n  {entries}\n)",
        "reached1 AS (\n  SELECT unit"
        + (f"{held}, min(t) AS began, began AS t FROM entries GROUP BY unit"
           if rules.entry == "first" else
           f"{', held' if rules.held else ''}, t AS began, t FROM entries")
        + "\n)",
    ]  # fmt: skip
    if rules.excluded:
        events = scope.events(Selector.any_of(rules.excluded), scope.start, end, columns)
        parts.append(f"excluded AS (\n  {events}\n)")
    for number in range(2, len(steps) + 1):
        before, step = steps[number - 2], steps[number - 1]
        after = _after(before, step)
        events = scope.events(step, scope.start, end, columns)
        if rules.entry == "first":
            chosen = (
                f"SELECT {keys}, began, e.t AS t, r.t AS since FROM step{number} e "
                f"JOIN reached{number - 1} r USING ({keys})\n"
                f"  WHERE e.t {after} r.t AND e.t <= began + {window}"
            )
            chosen = (
                f"SELECT {keys}, began, min(t) AS t, since FROM (\n  {chosen}\n  ) "
                f"GROUP BY {keys}, began, since"
            )
        else:
            same = " AND e.held = r.held" if rules.held else ""
            chosen = (
                f"SELECT e.unit{', e.held' if rules.held else ''}, began, e.t AS t, "
                f"r.t AS since\n  FROM step{number} e ASOF JOIN reached{number - 1} r "
                f"ON e.unit = r.unit{same} AND e.t {after} r.t\n"
                f"  WHERE e.t <= began + {window}"
            )
        if rules.excluded:
            chosen = (
                f"SELECT c.* EXCLUDE (since) FROM (\n  {chosen}\n  ) c ASOF LEFT JOIN excluded x "
                "ON c.unit = x.unit AND c.t > x.t\n"
                "  WHERE x.t IS NULL OR x.t <= c.since"
            )
        parts += [f"step{number} AS (\n  {events}\n)", f"reached{number} AS (\n  {chosen}\n)"]
    rows = "\n  UNION ALL ".join(
        f"SELECT unit, {number} AS step, began, t FROM reached{number}"
        for number in range(1, len(steps) + 1)
    )
    return "WITH " + ", ".join(parts) + f", tries AS (\n  {rows}\n)"


def _only_first(rules: FunnelRules) -> str:
    """Returns the clause that keeps the entries that count."""
    if rules.entry == "any":
        return ""
    return "\n  QUALIFY row_number() OVER (PARTITION BY unit ORDER BY t) = 1"


def _strict(rules: FunnelRules, scope: Scope) -> str:
    steps, window = rules.steps, in_microseconds(rules.window)
    columns = _columns(rules) | {f"is{i}": one.sql for i, one in enumerate(steps, 1)}
    anything = Selector.any_of([Selector.parse(ANYTHING), *steps])
    events = scope.events(anything, scope.start, scope.end + rules.window, columns)
    ahead, depth = [], "1"
    for number in range(2, len(steps) + 1):
        held = f" AND lead(held, {number - 1}) OVER ahead = held" if rules.held else ""
        ahead.append(
            f"CASE WHEN lead(is{number}, {number - 1}) OVER ahead{held} "
            f"THEN lead(t, {number - 1}) OVER ahead END AS t{number}"
        )
    for number in range(len(steps), 1, -1):
        depth = f"CASE WHEN t{number} <= t + {window} THEN 1 + {depth} ELSE 1 END"
        if number == len(steps):
            depth = f"CASE WHEN t{number} <= t + {window} THEN 2 ELSE 1 END"
    times = ", ".join(["t", *(f"t{number}" for number in range(2, len(steps) + 1))])
    # Events of the same time stand in the order of the steps.
    place = " ".join(f"WHEN is{number} THEN {number}" for number in range(1, len(steps) + 1))
    return f"""WITH happened AS (
  {events}
), looked AS (
  SELECT unit, t, ts, is1{", held" if rules.held else ""}, {", ".join(ahead)} FROM happened
  WINDOW ahead AS (PARTITION BY unit ORDER BY t, CASE {place} ELSE 0 END)
), attempts AS (
  SELECT unit, t AS began, [{times}] AS times, {depth} AS depth FROM looked
  WHERE is1 AND ts < {literal(scope.end)}{_no_null(rules)}{_only_first(rules)}
), tries AS (
  SELECT unit, unnest(range(1, depth + 1)) AS step, began, unnest(times[1:depth]) AS t
  FROM attempts
)"""


def _any_order(rules: FunnelRules, scope: Scope) -> str:
    steps, window = rules.steps, in_microseconds(rules.window)
    columns = _columns(rules) | {f"is{i}": one.sql for i, one in enumerate(steps, 1)}
    excluded = Selector.any_of(rules.excluded).sql if rules.excluded else "false"
    columns["is_excluded"] = excluded
    chosen = Selector.any_of([*steps, *rules.excluded])
    events = scope.events(chosen, scope.start, scope.end + rules.window, columns)
    times = ", ".join(
        f"min(t) FILTER (is{number}) OVER ahead" for number in range(1, len(steps) + 1)
    )
    is_step = " OR ".join(f"is{number}" for number in range(1, len(steps) + 1))
    return f"""WITH happened AS (
  {events}
), looked AS (
  SELECT unit, ts, t, {is_step} AS is_step{", held" if rules.held else ""}, [{times}] AS times,
    min(t) FILTER (is_excluded) OVER ahead AS ended
  FROM happened
  WINDOW ahead AS (
    PARTITION BY {_keys(rules)} ORDER BY t RANGE BETWEEN CURRENT ROW AND {window} FOLLOWING)
), attempts AS (
  SELECT unit, t AS began, list_sort(list_filter(times, lambda one:
    one IS NOT NULL AND (ended IS NULL OR one <= ended))) AS times
  FROM looked WHERE is_step AND ts < {literal(scope.end)}{_no_null(rules)}{_only_first(rules)}
), tries AS (
  SELECT unit, unnest(range(1, len(times) + 1)) AS step, began, unnest(times) AS t FROM attempts
)"""
