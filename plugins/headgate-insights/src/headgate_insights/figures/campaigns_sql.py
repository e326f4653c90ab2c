"""SQL of attribution: touches, the touches of each order, and the credit of each touch."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from headgate_insights.durations import in_microseconds
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.literals import literal, literals
from headgate_insights.money import Money
from headgate_insights.scope import Scope

__all__ = ["DIRECT", "MODELS", "UNTOUCHED", "Dimension", "Model", "column", "credits_sql"]

Dimension = Literal["source", "medium", "campaign", "term", "content", "channel"]
Model = Literal["first", "last", "last-non-direct", "linear", "position", "decay", "j", "inverse-j"]

DIRECT = "(direct)"
UNTOUCHED = "(none)"
_SESSION = 30 * 60 * 1_000_000

_NETWORKS = {
    "gclid": "google",
    "gbraid": "google",
    "wbraid": "google",
    "msclkid": "bing",
    "fbclid": "facebook",
    "ttclid": "tiktok",
    "twclid": "twitter",
    "li_fat_id": "linkedin",
}


def _ends(first: str, last: str, middle: str, two: tuple[str, str]) -> str:
    """Returns the credit by place: the first, the last, and equal shares of the rest between."""
    return (
        f"CASE WHEN n = 1 THEN 1 WHEN n = 2 AND i = 1 THEN {two[0]} WHEN n = 2 THEN {two[1]} "
        f"WHEN i = 1 THEN {first} WHEN i = n THEN {last} ELSE {middle} / (n - 2) END"
    )


MODELS: dict[Model, str] = {
    "first": "CASE WHEN i = 1 THEN 1 ELSE 0 END",
    "last": "CASE WHEN i = n THEN 1 ELSE 0 END",
    "last-non-direct": "CASE WHEN i = coalesce(named, n) THEN 1 ELSE 0 END",
    "linear": "1 / n",
    "position": _ends("0.4", "0.4", "0.2", ("0.5", "0.5")),
    "decay": "recency / sum(recency) OVER (PARTITION BY id)",
    "j": _ends("0.2", "0.6", "0.2", ("0.25", "0.75")),
    "inverse-j": _ends("0.6", "0.2", "0.2", ("0.75", "0.25")),
}
"""The credit of touch ``i`` of ``n`` of an order, by model; those of an order add up to 1."""


def column(model: Model) -> str:
    """Returns the name of a model as a column."""
    return model.replace("-", "_")


def _touch(dimension: Dimension, ignored: tuple[str, ...]) -> tuple[str, str]:
    """Returns the SQL of a touch's name, and the test that an event is one."""
    plain = "regexp_replace({}, '^www\\.', '')"
    referrer, page = plain.format("referrer_host"), plain.format("page_host")
    inner = f"{referrer} IS NOT DISTINCT FROM {page}"
    if ignored:
        inner += f" OR {referrer} IN ({literals(ignored)})"
    external = f"CASE WHEN NOT ({inner}) THEN {referrer} END"
    cases = " ".join(
        f"WHEN {literal(kind)} THEN {literal(network)}" for kind, network in _NETWORKS.items()
    )
    source = f"coalesce(utm_source, CASE click_id_type {cases} END, {external})"
    medium = (
        "coalesce(utm_medium, CASE WHEN click_id IS NOT NULL THEN 'click' "
        f"WHEN {external} IS NOT NULL THEN 'referral' END)"
    )
    rest = f"'(no {dimension}) ' || coalesce({source}, {medium}, 'tagged')"
    name = {
        "source": f"coalesce({source}, {medium}, '(no source)')",
        "medium": f"coalesce({medium}, '(no medium)')",
        "channel": f"coalesce(channel, {medium}, '(no channel)')",
    }.get(dimension) or f"coalesce(utm_{dimension}, {rest})"
    marks = "utm_source, utm_medium, utm_campaign, utm_term, utm_content, click_id"
    return name, f"coalesce({marks}, {external}) IS NOT NULL"


def credits_sql(
    scope: Scope,
    money: Money,
    *,
    dimension: Dimension,
    ignored: tuple[str, ...],
    look_back: timedelta,
    half_life: timedelta,
) -> str:
    """Returns the WITH clause that ends with ``credits``: a row for each order and touch of it.

    Its columns are ``id`` and ``unit`` of the order, ``label``, ``w``, ``value``, ``touch``, and
    one for each model.
    """
    name, is_touch = _touch(dimension, ignored)
    columns = {
        "t": "epoch_us(ts)",
        "touch": f"CASE WHEN {is_touch} THEN {name} END",
        "is_page": "type IN ('page', 'screen')",
    }
    seen = scope.events(Selector.parse(ANYTHING), scope.start - look_back, scope.end, columns)
    half = in_microseconds(half_life)
    models = ", ".join(f"{sql} AS {column(model)}" for model, sql in MODELS.items())
    ones = ", ".join("1" for _ in MODELS)
    return f"""WITH orders AS (
  SELECT unit, epoch_us(ts) AS t, {scope.label_column} AS label, {scope.event_weight} AS w,
    coalesce(value, 0) AS value, currency, row_number() OVER () AS id
  FROM ({money.orders(scope, scope.start, scope.end)})
), seen AS (
  {seen}
), paused AS (
  -- Only those who ordered have touches that count.
  SELECT unit, t, touch, is_page, t - lag(t) OVER (PARTITION BY unit ORDER BY t) AS pause
  FROM seen WHERE unit IN (SELECT unit FROM orders)
), touches AS (
  SELECT unit, t, coalesce(touch, {literal(DIRECT)}) AS touch FROM paused
  WHERE touch IS NOT NULL OR (is_page AND coalesce(pause > {_SESSION}, true))
), pairs AS (
  SELECT id, orders.unit, label, w, value, touch, touches.t
  FROM orders JOIN touches ON orders.unit = touches.unit
    AND touches.t <= orders.t AND touches.t >= orders.t - {in_microseconds(look_back)}
), runs AS (
  -- Of equal touches in a row the last one counts.
  SELECT * FROM pairs
  QUALIFY lead(touch) OVER (PARTITION BY id ORDER BY t, touch) IS DISTINCT FROM touch
), placed AS (
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY t, touch) AS i,
    count(*) OVER (PARTITION BY id) AS n,
    power(2, (t - max(t) OVER (PARTITION BY id)) / {half}) AS recency
  FROM runs
), named AS (
  SELECT *, max(i) FILTER (touch <> {literal(DIRECT)}) OVER (PARTITION BY id) AS named FROM placed
), credits AS (
  SELECT id, unit, label, w, value, touch, {models} FROM named
  UNION ALL
  SELECT id, unit, label, w, value, {literal(UNTOUCHED)}, {ones}
  FROM orders WHERE id NOT IN (SELECT id FROM pairs)
)"""
