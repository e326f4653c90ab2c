"""The cost of the campaigns, as a CSV file for ``gateway insights campaigns --spend``."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

from headgate_demo.market import CAMPAIGNS
from headgate_demo.people import Plan

__all__ = ["spend_csv", "spent"]


def spent(plan: Plan) -> dict[str, float]:
    """Returns the cost of each campaign within the history."""
    return {
        one.name: one.cost * len(range(one.first_day, min(one.last_day + 1, plan.days)))
        for one in CAMPAIGNS
    }


def spend_csv(plan: Plan) -> str:
    """Returns a row for each campaign and day."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("date", "source", "campaign", "spend"))
    for day in range(plan.days):
        date = (plan.start + timedelta(days=day)).date()
        for one in CAMPAIGNS:
            if one.first_day <= day <= one.last_day:
                writer.writerow((date.isoformat(), one.source, one.name, f"{one.cost:.2f}"))
    return file.getvalue()
