"""Simulates a history: all events in the order of their times, and the truth about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway import Event
from headgate_demo.bots import bot_events
from headgate_demo.people import Plan, people
from headgate_demo.truth import Truth
from headgate_demo.visits import Diary

__all__ = ["History", "simulate"]


@dataclass(frozen=True, slots=True)
class History:
    """A simulated history.

    Attributes:
        events: in the order of their times. The same plan gives the same events.
    """

    events: list[Event]
    truth: Truth


def simulate(plan: Plan, currency: str, on_person: Callable[[], object] = lambda: None) -> History:
    """Simulates the history of a plan.

    Args:
        currency: of all prices.
        on_person: called after each person.
    """
    truth = Truth(plan)
    events: list[Event] = []
    for person in people(plan):
        events += Diary(plan, person, currency, truth).write()
        on_person()
    bots = list(bot_events(plan))
    truth.bot_events = len(bots)
    events += bots
    events.sort(key=lambda event: (event.timestamp, event.message_id))
    return History(events, truth)
