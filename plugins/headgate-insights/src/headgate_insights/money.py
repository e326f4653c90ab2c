"""Orders, refunds and currencies, for all figures about money.

Amounts in several currencies are never added. A figure refuses and names them, unless each has a
line of its own (``--by currency``), one of them is chosen, or the user gives the rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from headgate_insights.errors import WrongQuestion
from headgate_insights.events import Selector
from headgate_insights.literals import literal
from headgate_insights.scope import Scope

__all__ = ["ORDER", "REFUND", "Money", "MoneyOptions"]

ORDER = "Order Completed"
REFUND = "Order Refunded"


class MoneyOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The options of all figures about money."""

    order: Annotated[str, Meta(description="The event of an order; its `revenue` is paid.")] = ORDER
    refund: Annotated[
        str, Meta(description="The event whose `revenue` is paid back; empty for none.")
    ] = REFUND
    currency: Annotated[
        str,
        Meta(description="Only orders in this currency; with --rate, the one that is shown."),
    ] = ""
    rate: Annotated[
        tuple[str, ...],
        Meta(description="What one unit of a currency is worth in --currency, such as USD=0.92."),
    ] = ()


class Money:
    """What orders and refunds are, and how their amounts are added."""

    def __init__(self, options: MoneyOptions) -> None:
        self.currency = options.currency.upper()
        self.order = Selector.parse(options.order)
        self._refund = Selector.parse(options.refund) if options.refund else Selector("", "false")
        # The default name of a refund is no question: many shops have no such event.
        is_asked = options.refund not in ("", REFUND)
        self.selectors = [self.order, *([self._refund] if is_asked else [])]
        self._rates = dict(map(_rate, options.rate))
        if self._rates and not self.currency:
            raise WrongQuestion("--rate needs --currency, the currency that the rates lead to")
        if self._rates:
            self._rates[self.currency] = 1.0

    @property
    def choices(self) -> list[Selector]:
        """Orders and refunds."""
        return [self.order, self._refund]

    @property
    def _value(self) -> str:
        if not self._rates:
            return "revenue"
        cases = (f"WHEN {literal(code)} THEN {rate!r}" for code, rate in self._rates.items())
        return f"revenue * CASE currency {' '.join(cases)} END"

    def orders(self, scope: Scope, start: datetime, end: datetime) -> str:
        """Returns the SELECT of orders: the columns of `Scope.events`, ``value``, ``currency``.

        A shop may tell the same order twice, from the browser and from its server. So an order id
        counts once.
        """
        events = f"SELECT * EXCLUDE (order_id) FROM ({self._events(scope, self.order, start, end)})"
        return (
            f"{events} WHERE order_id IS NULL\nUNION ALL BY NAME\n{events} "
            "WHERE order_id IS NOT NULL\n"
            "QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY ts) = 1"
        )

    def refunds(self, scope: Scope, start: datetime, end: datetime) -> str:
        """Returns the SELECT of refunds, with the same columns; ``value`` is above 0."""
        return (
            "SELECT * EXCLUDE (order_id) REPLACE (abs(value) AS value) FROM (\n  "
            f"{self._events(scope, self._refund, start, end)}\n)"
        )

    def _events(self, scope: Scope, which: Selector, start: datetime, end: datetime) -> str:
        columns = {
            "value": self._value,
            "currency": "coalesce(currency, '')",
            "order_id": "order_id",
        }
        events = scope.events(which, start, end, columns)
        if self.currency and not self._rates:
            events += f"\n    AND currency = {literal(self.currency)}"
        return events

    def check(self, found: Mapping[str, Iterable[str | None] | None]) -> list[str]:
        """Refuses amounts that cannot be added, and returns a note of the currency, if it is one.

        Args:
            found: by breakdown, the currencies of amounts that were added; empty for amounts
                without one.

        Raises:
            WrongQuestion: they are several, or one has no rate.
        """
        for codes in found.values():
            self._check(sorted({code for code in codes or () if code is not None}))
        all_ = {code for codes in found.values() for code in codes or () if code}
        shown = {self.currency} if self.currency else all_
        return [f"Amounts are in {one}." for one in shown if len(shown) == 1]

    def _check(self, codes: list[str]) -> None:
        if self._rates:
            if unknown := [code for code in codes if code not in self._rates]:
                raise WrongQuestion(f"there is no --rate for amounts {_words(unknown)}")
        elif len(codes) > 1 and not self.currency:
            one = next(code for code in codes if code)
            raise WrongQuestion(
                f"there are amounts {_words(codes)}, which are never added: --by currency shows "
                f"each, --currency {one} takes one, and --currency {one} with --rate converts"
            )

    @property
    def definition(self) -> list[str]:
        """The rules in words."""
        lines = [
            f"An order is {self.order.words}; an order id counts once.",
            "Revenue is the sum of what orders state, less refunds at the time of the refund.",
        ]
        if self._rates:
            rates = ", ".join(f"1 {code} = {rate:g}" for code, rate in self._rates.items())
            lines.append(f"Amounts are in {self.currency} by the rates given: {rates}.")
        elif self.currency:
            lines.append(f"Only amounts that state the currency {self.currency} count.")
        return lines


def _words(codes: list[str]) -> str:
    return " and ".join(f"in {code}" if code else "without a currency" for code in codes)


def _rate(text: str) -> tuple[str, float]:
    code, _, number = text.partition("=")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if not code.strip() or not math.isfinite(rate) or rate <= 0:
        raise WrongQuestion(f"--rate {text!r} is no rate: write USD=0.92")
    return code.strip().upper(), rate
