"""Which events a question is about, as users write it.

::

    Order Completed                                 the track event of this name
    page:Pricing, screen:Home                       a page or screen of this name
    page:*, identify:*                              all events of a type
    *                                               anything that people do: track, page, screen
    Order Completed where properties.revenue > 50   only those for which a condition is true
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway import EVENT_TYPES
from headgate_insights.filters import condition_sql
from headgate_insights.literals import literal

__all__ = ["ANYTHING", "Selector"]

ANYTHING = "*"
_DONE_BY_PEOPLE = "type IN ('track', 'page', 'screen')"


@dataclass(frozen=True, slots=True)
class Selector:
    """A choice of events.

    Attributes:
        text: as the user wrote it.
        of_name: the SQL test of type and name.
        where: the condition; empty if there is none.
        named: column and name that the choice asks for; None if it asks for no name.
    """

    text: str
    of_name: str
    where: str = ""
    named: tuple[str, str] | None = None

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Reads a choice of events.

        Raises:
            WrongQuestion: the condition after ``where`` is not one.
        """
        names, _, where = text.partition(" where ")
        names = names.strip()
        if where:
            condition_sql(where)
        kind, colon, name = names.partition(":")
        if names == ANYTHING:
            return cls(text, _DONE_BY_PEOPLE, where)
        if colon and kind in EVENT_TYPES and kind != "track":
            if name == ANYTHING:
                return cls(text, f"type = {literal(kind)}", where)
            of_name = f"type = {literal(kind)} AND name = {literal(name)}"
            return cls(text, of_name, where, ("name", name))
        return cls(text, f"event = {literal(names)}", where, ("event", names))

    @classmethod
    def any_of(cls, choices: Iterable[Selector]) -> Selector:
        """Returns the choice of all events of several choices."""
        all_ = list(choices)
        test = " OR ".join(f"({one.sql})" for one in all_)
        return cls(" or ".join(one.text for one in all_), f"({test})")

    @property
    def sql(self) -> str:
        """The SQL test of an event."""
        return f"{self.of_name} AND {condition_sql(self.where)}" if self.where else self.of_name

    @property
    def words(self) -> str:
        """The choice in words."""
        return (
            "anything (a track, page or screen event)"
            if self.text == ANYTHING
            else f"“{self.text}”"
        )
