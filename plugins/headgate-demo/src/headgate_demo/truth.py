"""What is true about a simulated history, noted down while it is simulated.

It is counted in Python, without a lake and without SQL, so that figures can be checked against it.
It knows the people themselves, and the visitors that a gateway tells apart: a person with two
devices is two visitors. Events of servers belong to the device that the account was made on.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta

from headgate_demo.people import Plan

__all__ = ["Arm", "Order", "Returned", "Truth"]

_DAY_MS = 86_400_000
_GAP_MS = 30 * 60_000
_NOT_THEIR_OWN = {"Email Delivered", "Email Opened", "Order Refunded"}


@dataclass(frozen=True, slots=True)
class Order:
    """An order.

    Attributes:
        campaign: the one that brought the person to the shop; empty if none did.
        by_mail: a newsletter caused the visit.
        refunded: it was given back within the history.
    """

    visitor: str
    person: int
    moment_ms: int
    revenue: float
    campaign: str
    by_mail: bool
    refunded: bool


@dataclass(slots=True)
class Arm:
    """An arm of the group ``new_checkout``.

    Attributes:
        exposed: persons who began a checkout while the group ran.
        ordered: those of them who ordered then.
        checkouts: the checkouts that were begun.
        orders: those that ended with an order.
    """

    exposed: set[int] = field(default_factory=set)
    ordered: set[int] = field(default_factory=set)
    checkouts: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Returned:
    """A cohort in one week: its visitors, and those of them who came back."""

    people: int
    returned: int


@dataclass(slots=True)
class Truth:
    """The truth about a history.

    Attributes:
        people: those who did or got anything within the history, bots apart.
        names: events by name; pages are ``page:Home``, and identify is ``identify``.
        moments: times of all track and page events that each visitor has done, in milliseconds.
        moments_of: times of all events by name and visitor.
        orders: in no order.
        arrived: persons whom each campaign brought.
        arms: of the group ``new_checkout``.
        bot_events: events of bots, which nothing else here counts.
    """

    plan: Plan
    people: set[int] = field(default_factory=set)
    names: Counter[str] = field(default_factory=Counter)
    moments: dict[str, array[int]] = field(default_factory=lambda: defaultdict(_times))
    moments_of: dict[str, dict[str, array[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(_times))
    )
    orders: list[Order] = field(default_factory=list)
    arrived: Counter[str] = field(default_factory=Counter)
    arms: dict[str, Arm] = field(default_factory=lambda: defaultdict(Arm))
    bot_events: int = 0

    def note(self, person: int, visitor: str, name: str, moment_ms: int) -> None:
        """Notes an event."""
        self.people.add(person)
        self.names[name] += 1
        if name != "identify":
            if name not in _NOT_THEIR_OWN:
                self.moments[visitor].append(moment_ms)
            self.moments_of[name][visitor].append(moment_ms)

    # -- money -------------------------------------------------------------------

    @property
    def revenue(self) -> float:
        """What was paid, before refunds."""
        return sum(order.revenue for order in self.orders)

    @property
    def refunds(self) -> float:
        """What was paid back."""
        return sum(order.revenue for order in self.orders if order.refunded)

    @property
    def orders_of(self) -> Counter[str]:
        """The number of orders of each visitor who has any."""
        return Counter(order.visitor for order in self.orders)

    @property
    def mail_orders(self) -> int:
        """Orders in visits that a newsletter caused."""
        return sum(order.by_mail for order in self.orders)

    def lift(self) -> float:
        """Returns by how much more often checkouts ended with an order in the arm ``test``.

        It differs by chance from the lift that was built in, `CHECKOUT_LIFT`.
        """
        test, control = self.arms["test"], self.arms["control"]
        return (test.orders / test.checkouts) / (control.orders / control.checkouts) - 1

    # -- people ------------------------------------------------------------------

    def active(self, name: str | None = None, *, days: int = 1) -> dict[date, int]:
        """Returns the active visitors of each day and the days before it.

        Args:
            name: of the event that makes visitors active; None for any.
            days: length of the window that ends with the day.
        """
        found: dict[date, set[str]] = {
            self._date(number): set() for number in range(self.plan.days)
        }
        for visitor, moments in self._moments(name).items():
            for number in {self._day(moment) for moment in moments}:
                for later in range(number, min(number + days, self.plan.days)):
                    found[self._date(later)].add(visitor)
        return {day: len(visitors) for day, visitors in found.items()}

    def weeks(self, name: str | None = None) -> dict[str, list[date]]:
        """Returns the weeks (their Mondays) in which each visitor was active, in order."""
        return {
            visitor: sorted({_monday(self._date(self._day(moment))) for moment in moments})
            for visitor, moments in self._moments(name).items()
        }

    def retention(self, name: str | None = None) -> dict[tuple[date, int], Returned]:
        """Returns, by first week and weeks since, how many visitors came back."""
        weeks = self.weeks(name)
        sizes = Counter(active[0] for active in weeks.values())
        back = Counter(
            (active[0], (week - active[0]).days // 7)
            for active in weeks.values()
            for week in active
        )
        last = _monday(self.plan.end.date() - timedelta(days=1))
        return {
            (cohort, unit): Returned(size, back[cohort, unit])
            for cohort, size in sizes.items()
            for unit in range((last - cohort).days // 7 + 1)
        }

    def sessions(self) -> Counter[date]:
        """Returns the sessions by the day that they began; 30 minutes without an event end one."""
        found: Counter[date] = Counter()
        for moments in self.moments.values():
            before = None
            for moment in sorted(moments):
                if before is None or moment - before > _GAP_MS:
                    found[self._date(self._day(moment))] += 1
                before = moment
        return found

    def funnel(self, names: tuple[str, ...], window_ms: int) -> list[int]:
        """Returns how many visitors reach each step within a window after their first entry."""
        reached = [0] * len(names)
        steps = [
            {who: sorted(times) for who, times in self.moments_of[name].items()} for name in names
        ]
        for visitor, entries in steps[0].items():
            moment = entries[0]
            until = moment + window_ms
            reached[0] += 1
            for step in range(1, len(names)):
                times = steps[step].get(visitor, [])
                place = bisect_left(times, moment + 1)
                if place == len(times) or times[place] > until:
                    break
                moment = times[place]
                reached[step] += 1
        return reached

    def _moments(self, name: str | None) -> dict[str, array[int]]:
        return self.moments if name is None else self.moments_of[name]

    def _day(self, moment_ms: int) -> int:
        return (moment_ms - self.plan.start_ms) // _DAY_MS

    def _date(self, day: int) -> date:
        return self.plan.start.date() + timedelta(days=day)


def _times() -> array[int]:
    return array("q")


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
