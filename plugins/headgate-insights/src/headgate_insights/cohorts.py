"""Cohorts in SQL: people by the period in which they began, and what they did at which age.

Retention counts the ages; other figures of cohorts can sum something over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headgate_insights.calendar import Every
from headgate_insights.events import Selector
from headgate_insights.literals import literal
from headgate_insights.scope import Scope

__all__ = ["PERIOD_HOURS", "Cohorts"]

PERIOD_HOURS: dict[Every, int] = {"day": 24, "week": 7 * 24, "month": 30 * 24}
"""The length of a period that is counted in hours from each person's own start."""

_MOST_BITS = 126
"""Periods that fit into the set of bits of a person, a HUGEINT."""

_HOUR = "epoch_us({}) // 3600000000"


@dataclass(frozen=True, slots=True)
class Cohorts:
    """How people are put into cohorts.

    Attributes:
        start, back: the event that people begin with, and the one that they come back with.
        first_ever: only people whose first start event ever is in the range, each in one cohort.
        rolling: ages are counted in hours from each person's own start, not by the calendar.
    """

    start: Selector
    back: Selector
    every: Every
    first_ever: bool
    rolling: bool

    def reads_from(self, scope: Scope) -> datetime:
        """Returns the time of the first event that is needed."""
        return scope.beginning if self.first_ever else scope.start

    def sql(self, scope: Scope, until: datetime) -> str:
        """Returns a WITH clause with the tables ``cohorts`` and ``aged``.

        ``cohorts`` has one row for each person and cohort, with weight and breakdown at the start.
        ``aged`` has the ages, counted in periods, at which they came back. By the calendar it has
        one row for each person, cohort and age; rolling ages may have several.
        """
        same = self.start == self.back and not self.rolling
        if same and self.first_ever and len(self._slots(scope, until)) <= _MOST_BITS:
            return self._from_bits(scope, until)
        tables = self._from_one_scan(scope, until) if same else self._from_two_scans(scope, until)
        age = f"slot - {_HOUR.format('began')}) // {PERIOD_HOURS[self.every]}"
        age = f"({age}" if self.rolling else "slot - cohort"
        return f"""WITH {tables}, aged AS (
  SELECT person, cohort, label, w, CAST({age} AS INTEGER) AS age
  FROM active JOIN cohorts USING (person) WHERE latest >= began
)"""

    def _slots(self, scope: Scope, until: datetime) -> range:
        """Returns the periods from the start of the range to the last that is read."""
        calendar, every = scope.calendar, self.every
        first = calendar.period_of(every, calendar.day_of(scope.start))
        return range(first, calendar.period_of(every, calendar.day_of(until)) + 1)

    def _from_bits(self, scope: Scope, until: datetime) -> str:
        """Keeps the periods of a person as a set of bits; events are grouped by person only.

        That takes half of the time of groups by person and period.
        """
        slots = self._slots(scope, until)
        slot = scope.period(self.every, scope.beginning, until)
        began = scope.period(self.every, scope.beginning, scope.end, "min(ts)")
        within = f"BETWEEN {literal(scope.start)} AND {literal(scope.end)} - INTERVAL 1 MICROSECOND"
        bit = f"CAST(greatest({slot} - {slots[0]}, 0) AS HUGEINT)"
        return f"""WITH chosen AS (
  {scope.events(self.start, scope.beginning, until)}
), cohorts AS (
  SELECT unit AS person, {began} AS cohort, {scope.entry_weight} AS w,
    {scope.entry_label} AS label, bit_or(1::HUGEINT << {bit}) AS slots
  FROM chosen GROUP BY unit HAVING min(ts) {within}
), aged AS (
  SELECT person, cohort, label, w, CAST(age AS INTEGER) AS age
  FROM cohorts, range({len(slots)}) AS ages(age)
  WHERE (slots >> least(cohort - {slots[0]} + age, 126)::HUGEINT) & 1 = 1
)"""

    def _from_two_scans(self, scope: Scope, until: datetime) -> str:
        first = self.reads_from(scope)
        slot = _HOUR.format("ts") if self.rolling else scope.period(self.every, scope.start, until)
        if self.first_ever:
            period = scope.period(self.every, first, scope.end, "min(ts)")
            grouping, within = "unit", f"min(ts) >= {literal(scope.start)}"
        else:
            period = scope.period(self.every, first, scope.end)
            grouping, within = f"unit, {period}", "true"
        return f"""starts AS (
  {scope.events(self.start, first, scope.end)}
), cohorts AS (
  SELECT unit AS person, {period} AS cohort, min(ts) AS began,
    {scope.entry_weight} AS w, {scope.entry_label} AS label
  FROM starts GROUP BY {grouping} HAVING {within}
), returns AS (
  {scope.events(self.back, scope.start, until)}
), active AS (
  SELECT unit AS person, {slot} AS slot, max(ts) AS latest FROM returns GROUP BY ALL
)"""

    def _from_one_scan(self, scope: Scope, until: datetime) -> str:
        """Reads and groups an event once with which people both begin and come back."""
        first = self.reads_from(scope)
        slot = scope.period(self.every, first, until)
        within = f"BETWEEN {literal(scope.start)} AND {literal(scope.end)} - INTERVAL 1 MICROSECOND"
        w = "arg_min(w, began)" if scope.weighted else "1::DOUBLE"
        label = "arg_min(label, began)" if scope.by else "''"
        cohorts = f"SELECT person, slot AS cohort, began, w, label FROM active WHERE began {within}"
        if self.first_ever:
            cohorts = (
                f"SELECT person, min(slot) AS cohort, min(began) AS began, {w} AS w,\n"
                f"    {label} AS label FROM active GROUP BY person HAVING min(began) {within}"
            )
        carried = f"{scope.entry_weight} AS w, {scope.entry_label} AS label"
        return f"""chosen AS (
  {scope.events(self.start, first, until)}
), visits AS (
  SELECT unit AS person, {slot} AS slot, min(ts) AS began, max(ts) AS latest, {carried}
  FROM chosen GROUP BY unit, {slot}
), cohorts AS (
  {cohorts.replace("FROM active", "FROM visits")}
), active AS (
  SELECT person, slot, latest FROM visits
)"""
