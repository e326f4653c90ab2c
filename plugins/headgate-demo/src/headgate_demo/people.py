"""The people of the simulated shop: when each arrives, returns and is lost.

Each person is drawn from a random source of its own, so that a change to one leaves the others as
they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Protocol, TypeVar

from headgate_demo.market import (
    CAMPAIGNS,
    CHANNELS,
    COUNTRIES,
    DEVICES,
    Campaign,
    Channel,
    Country,
    Device,
)

__all__ = ["Person", "Plan", "Visit", "people"]


class _Shared(Protocol):
    @property
    def share(self) -> float: ...


_S = TypeVar("_S", bound=_Shared)


@dataclass(frozen=True, slots=True)
class Plan:
    """The history to simulate.

    Attributes:
        end: the moment after its last day.
        days: its length.
        people: number of persons, without bots.
        seed: the same seed and end give the same history.
    """

    end: datetime
    days: int = 90
    people: int = 12_000
    seed: int = 1

    @property
    def start(self) -> datetime:
        """The first moment."""
        return self.end - timedelta(days=self.days)

    @property
    def start_ms(self) -> int:
        """The first moment in milliseconds."""
        return round(self.start.timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        """The moment after the last day in milliseconds."""
        return round(self.end.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit that a person makes of its own accord.

    Attributes:
        day: days from the start of the history, with a fraction.
        device: number of the device.
        first: it is the person's first one, which a channel has brought.
    """

    day: float
    device: int
    first: bool


@dataclass(frozen=True, slots=True)
class Person:
    """One person.

    Attributes:
        number: counts from 0.
        arrival: day of the first visit; negative for those who came before the history.
        last_day: the person is lost after it.
        visits: in order, those within the history only.
        devices: one to three.
        checkout: the arm of the group ``new_checkout``.
        newsletter: false for the tenth part that never gets a newsletter.
        random: for all that the person does.
    """

    number: int
    channel: Channel
    campaign: Campaign | None
    country: Country
    devices: tuple[Device, ...]
    arrival: float
    last_day: float
    visits: tuple[Visit, ...]
    checkout: str
    newsletter: bool
    random: Random


_BEFORE_DAYS = 60
_WEEKDAYS = (0.95, 0.9, 0.92, 0.98, 1.0, 1.15, 1.25)  # from Monday on
_COMES_BACK = 0.12
_NEWSLETTER_HOLDOUT = 0.1
_SECOND_DEVICE, _THIRD_DEVICE = 0.45, 0.12
_LOCAL_HOURS = (8, 9, 12, 12, 13, 17, 18, 19, 19, 20, 20, 21, 21, 22, 23)


def people(plan: Plan) -> Iterator[Person]:
    """Yields all persons, in the order of their numbers."""
    days = list(range(-_BEFORE_DAYS, plan.days))
    weights = [_arrivals(plan, day) for day in days]
    arrivals = Random(f"{plan.seed}:arrivals").choices(days, weights, k=plan.people)  # noqa: S311
    for number, day in enumerate(sorted(arrivals)):
        yield _person(plan, number, day)


def _arrivals(plan: Plan, day: int) -> float:
    growth = 0.35 if day < 0 else 1 + 0.6 * day / plan.days
    more = sum(
        (one.more - 1) * channel.share
        for one in CAMPAIGNS
        for channel in CHANNELS
        if channel.name == one.channel and one.first_day <= day <= one.last_day
    )
    return growth * _season(plan, day) * (1 + more)


@lru_cache(maxsize=1024)
def _season(plan: Plan, day: int) -> float:
    """Returns the share of the usual visits that a day has, by weekday and month."""
    date = plan.start + timedelta(days=day)
    yearly = 1 + 0.12 * math.cos(2 * math.pi * (date.timetuple().tm_yday + 15) / 365)
    return _WEEKDAYS[date.weekday()] * yearly


def _person(plan: Plan, number: int, day: int) -> Person:
    random = Random(f"{plan.seed}:{number}")  # noqa: S311 - a simulation
    running = [one for one in CAMPAIGNS if one.first_day <= day <= one.last_day]
    shares = {
        channel.name: channel.share
        * max((one.more for one in running if one.channel == channel.name), default=1.0)
        for channel in CHANNELS
    }
    channel = random.choices(CHANNELS, [shares[one.name] for one in CHANNELS])[0]
    campaigns = [one for one in running if one.channel == channel.name]
    country = _draw(random, COUNTRIES)
    number_of_devices = 1 + (random.random() < _SECOND_DEVICE) + (random.random() < _THIRD_DEVICE)
    devices = tuple(_draw(random, DEVICES) for _ in range(number_of_devices))
    lifetime = random.expovariate(1 / channel.lifetime_days)
    arrival = day + _time_of_day(random, country)
    spans = [(arrival, arrival + lifetime)]
    if random.random() < _COMES_BACK:
        again = arrival + lifetime + random.uniform(20, 45)
        spans.append((again, again + random.expovariate(1 / channel.lifetime_days)))
    visits = tuple(_visits(plan, random, country, spans, len(devices)))
    return Person(
        number,
        channel,
        campaigns[-1] if campaigns else None,
        country,
        devices,
        arrival,
        spans[-1][1],
        visits,
        random.choice(("control", "test")),
        random.random() >= _NEWSLETTER_HOLDOUT,
        random,
    )


def _visits(
    plan: Plan,
    random: Random,
    country: Country,
    spans: Sequence[tuple[float, float]],
    devices: int,
) -> Iterator[Visit]:
    rate = random.gammavariate(1.3, 0.16)  # visits a day; a few people come very often
    first = spans[0][0]
    for begin, end in spans:
        if begin >= 0 and begin < plan.days:
            yield Visit(begin, random.randrange(devices) if begin > first else 0, begin == first)
        for day in range(max(0, math.floor(begin) + 1), min(plan.days, math.ceil(end))):
            if random.random() < rate * _season(plan, day):
                time = day + _time_of_day(random, country)
                if time < plan.days:
                    yield Visit(time, random.randrange(devices), False)


def _time_of_day(random: Random, country: Country) -> float:
    """Returns a time of the day in UTC, as a fraction, when people of a country are awake."""
    hour = random.choice(_LOCAL_HOURS) - country.hours
    return ((hour + random.random()) % 24) / 24


def _draw(random: Random, choices: Sequence[_S]) -> _S:
    return random.choices(choices, [one.share for one in choices])[0]
