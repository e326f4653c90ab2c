"""The options and rows of churn, which all its definitions share."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from headgate_insights.calendar import Every
from headgate_insights.events import ANYTHING
from headgate_insights.intervals import Share
from headgate_insights.one_event import EventOptions

__all__ = ["ChurnOptions", "ChurnRow"]


class ChurnOptions(EventOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who left: people silent for long, those who never came back, or ended contracts."""

    definition: Annotated[
        Literal["silent", "lapsed", "contract"],
        Meta(
            description="silent: no event for so many days; how long people stay (Kaplan-Meier). "
            "lapsed: of the people of a cohort, those who never came back after a period. "
            "contract: of the customers at the start of a period, those who ended in it."
        ),
    ] = "silent"
    event: Annotated[
        str, Meta(description="silent, lapsed: the event that shows that people are still there.")
    ] = ANYTHING
    gap_days: Annotated[
        int,
        Meta(
            ge=0,
            le=3650,
            description="silent: days without an event after which people count as gone. 0 takes "
            "the 95th percentile of the pauses that people made and came back from.",
        ),
    ] = 0
    begin: Annotated[str, Meta(description="contract: the event that makes a customer.")] = ""
    end: Annotated[str, Meta(description="contract: the event that ends it.")] = ""
    every: Annotated[Every, Meta(description="lapsed, contract: length of a period.")] = "month"


class ChurnRow(Share, frozen=True, kw_only=True):
    """An age of people (silent), or a period (contract). The share is of those who left.

    Attributes:
        label: the value of the breakdown; empty without one.
        age: silent: days from the first event to the last. lapsed: periods after the first.
            Otherwise null.
        begins: first day of the period or cohort; null for silent people, and for the average.
        at_risk: people who could leave: observed at this age, of the cohort, or customers when the
            period began.
        left: those who left.
        complete: whether the period is over.
    """

    label: str
    age: int | None
    begins: date | None
    at_risk: float
    left: float
    complete: bool
