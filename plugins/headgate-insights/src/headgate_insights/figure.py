"""The contract of a figure.

A figure is one question about the events of the lake. It is built from its options, as any
component is, and has five parts: the definition in words, one SELECT, the typed result made of its
rows, a table for the terminal, and a chart. `headgate_insights.answers.answer` puts them together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

from msgspec import Struct

from headgate_insights.calendar import Every
from headgate_insights.events import Selector
from headgate_insights.intervals import Share
from headgate_insights.lakes import Statement
from headgate_insights.scope import Scope
from headgate_insights.tables import Table

__all__ = ["WILSON", "Figure", "Headline", "Result"]

WILSON = "Wilson"
"""The method of the intervals of shares."""

Unit = Literal["", "%", "days", "minutes", "money"]


class Headline(Struct, frozen=True, kw_only=True):
    """One number that a figure comes down to; ranges and arms are compared by it.

    Attributes:
        name: what it is, such as ``week 1``.
        label: the value of the breakdown; empty without one.
        low, high: its 95 % interval, where it has one.
        n: the people that it is of.
    """

    name: str
    value: float | None
    unit: Unit = ""
    label: str = ""
    low: float | None = None
    high: float | None = None
    n: float | None = None

    @classmethod
    def of_share(cls, name: str, share: Share, label: str = "") -> Headline:
        """Makes a headline of a share."""
        return cls(
            name=name,
            value=share.share,
            unit="%",
            label=label,
            low=share.low,
            high=share.high,
            n=share.n,
        )


Row = TypeVar("Row", bound=Struct)
Options = TypeVar("Options", bound=Struct)


class Result(Struct, Generic[Row], frozen=True, kw_only=True):
    """The numbers of a figure.

    Attributes:
        rows: one for each cell, tidy: CSV and chart show exactly these.
        headlines: the few numbers that the figure comes down to.
        notes: what a reader must know about these numbers.
    """

    rows: list[Row]
    headlines: list[Headline]
    notes: list[str] = []


class Figure(ABC, Generic[Options]):
    """One question about the events of the lake, with its options.

    Attributes:
        title: the question in a few words.
        reading: what to read from it, and what not.
        default_from: the first day if a user gives none.
        interval: the method of its 95 % intervals; empty if it has none.
        of_people: whether its intervals are over people, so that arms of a group can be compared.
    """

    title: ClassVar[str]
    reading: ClassVar[str]
    default_from: ClassVar[str] = "90d"
    interval: str = WILSON
    of_people: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    @abstractmethod
    def selectors(self) -> Sequence[Selector]:
        """The events that it is about; unknown names are refused with a suggestion."""

    @property
    def fields(self) -> Sequence[str]:
        """Fields that it reads besides, as users write them; unknown ones are refused."""
        return ()

    @property
    def every(self) -> Every:
        """The length of its periods; a range given as a length begins with a whole one."""
        return "day"

    @abstractmethod
    def definition(self, scope: Scope) -> list[str]:
        """Says in words how the numbers are made, one sentence for each choice."""

    @abstractmethod
    def statement(self, scope: Scope) -> Statement:
        """Returns the SELECT."""

    @abstractmethod
    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[Any]:
        """Makes the result of the rows of the SELECT."""

    @abstractmethod
    def people(self, scope: Scope, cell: str) -> Statement:
        """Returns a SELECT of the ``unit`` of those who are behind a cell.

        Raises:
            WrongQuestion: the figure has no such cell; the message shows an example.
        """

    @abstractmethod
    def table(self, scope: Scope, result: Any) -> Table:
        """Lays out the result for 80 columns."""

    @abstractmethod
    def chart(self, scope: Scope, result: Any) -> dict[str, Any]:
        """Returns a Vega-Lite specification that has the data inside."""
