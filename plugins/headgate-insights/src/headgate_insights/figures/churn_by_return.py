"""Churn by return: people who never came back, which is what retention lacks to 100 %."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from headgate_insights.calendar import Every
from headgate_insights.events import Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.figures.churn_options import ChurnOptions, ChurnRow
from headgate_insights.figures.retention import Retention, RetentionOptions, RetentionRow
from headgate_insights.lakes import Statement
from headgate_insights.scope import Scope
from headgate_insights.tables import Table

__all__ = ["LapsedChurn"]


class LapsedChurn(Figure[ChurnOptions]):
    """1 minus retention "on or after"."""

    title = "How many never came back?"
    reading = (
        "Only the past can say that nobody came back: the youngest cohorts look worse than they "
        "are, since their people had less time to return. Compare a column only among old cohorts."
    )
    default_from = "12w"

    def __init__(self, options: ChurnOptions) -> None:
        super().__init__(options)
        self._kept = Retention(
            RetentionOptions(
                start=options.event, back=options.event, every=options.every, mode="after"
            )
        )

    @property
    def selectors(self) -> Sequence[Selector]:
        """The event of people who are still there."""
        return self._kept.selectors

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    def definition(self, scope: Scope) -> list[str]:
        """Says that it is the rest of retention."""
        return ["Left is everyone who is not retained.", *self._kept.definition(scope)]

    def statement(self, scope: Scope) -> Statement:
        """Returns the SELECT of retention."""
        return self._kept.statement(scope)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people of a cell of retention, such as those with ``returned=no``."""
        return self._kept.people(scope, cell)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[ChurnRow]:
        """Turns each share of people who came back into that of those who did not."""
        kept = self._kept.result(scope, rows)
        found = [
            ChurnRow(
                label=row.label,
                age=row.unit,
                begins=row.cohort,
                at_risk=row.people,
                left=row.people - row.returned,
                complete=row.complete,
                share=_rest(row.share),
                low=_rest(row.high),
                high=_rest(row.low),
                n=row.n,
            )
            for row in kept.rows
        ]
        headlines = [
            structs.replace(one, value=_rest(one.value), low=_rest(one.high), high=_rest(one.low))
            for one in kept.headlines
        ]
        return Result(rows=found, headlines=headlines, notes=kept.notes)

    def table(self, scope: Scope, result: Result[ChurnRow]) -> Table:
        """Shows the triangle of retention with the shares that left."""
        shown = self._kept.table(scope, self._as_retention(result, result.headlines))
        return structs.replace(shown, caption=f"% of {scope.people} who never came back since")

    def chart(self, scope: Scope, result: Result[ChurnRow]) -> dict[str, Any]:
        """Draws the curves of retention with the shares that left."""
        spec = self._kept.chart(scope, self._as_retention(result, result.headlines))
        spec["title"]["text"] = f"People who never came back, by {self.options.every}"
        return spec

    def _as_retention(
        self, result: Result[ChurnRow], headlines: list[Headline]
    ) -> Result[RetentionRow]:
        rows = [
            RetentionRow(
                label=row.label,
                cohort=row.begins,
                unit=row.age or 0,
                period=f"{self.options.every} {row.age}",
                people=row.at_risk,
                returned=row.left,
                complete=row.complete,
                share=row.share,
                low=row.low,
                high=row.high,
                n=row.n,
            )
            for row in result.rows
        ]
        return Result(rows=rows, headlines=headlines)


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share
