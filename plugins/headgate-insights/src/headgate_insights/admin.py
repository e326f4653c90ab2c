"""``/admin/insights``: figures over the administration API.

A figure shows counts, so the role ``read`` is enough, except that nobody with it may break down by
an id of people: that would list them. Who is behind a number needs ``operate``, and stands in the
audit trail with the figure and the number of people, without their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import headgate_lake
from gateway import (
    AdminArea,
    AdminEndpoint,
    AdminError,
    AdminRequest,
    ConfigError,
    GatewayError,
    Scope,
)

if TYPE_CHECKING:
    from headgate_insights.lakes import StoredLake
    from headgate_insights.questions import Question

__all__ = ["INSIGHTS_AREA"]

T = TypeVar("T")

_SECONDS = 600.0
"""Time that a figure may take; each of its queries has its own limit."""


async def _list(scope: Scope, request: AdminRequest) -> object:
    from headgate_insights.registry import summary_of

    return {
        "figures": {type_: summary_of(spec) for type_, spec in sorted(scope.figures.items())},
        "saved": {
            id_: {"type": one.settings.type, "title": one.settings.title, "why": one.settings.why}
            for id_, one in scope.tables["insights"].items()
        },
    }


async def _figure(scope: Scope, request: AdminRequest) -> msgspec.Raw:
    from headgate_insights.questions import refuse_ids

    asked = _question(scope, request)
    try:
        refuse_ids(asked)
    except GatewayError as error:
        raise _refusal(error) from error
    return await _answered(scope, asked)


async def _saved(scope: Scope, request: AdminRequest) -> msgspec.Raw:
    from headgate_insights.questions import saved_question

    try:
        asked = saved_question(scope, request.path["id"])
    except GatewayError as error:
        raise AdminError(str(error), 404) from error
    return await _answered(scope, asked)


async def _answered(scope: Scope, asked: Question) -> msgspec.Raw:
    from headgate_insights.answers import answer
    from headgate_insights.completeness import ask_completeness

    def work(lake: StoredLake) -> bytes:
        found, _ = answer(
            asked.type,
            asked.figure,
            asked.options,
            lake,
            project=scope.project,
            now=datetime.now(UTC),
            completeness=ask_completeness(scope),
        )
        return msgspec.json.encode(found)

    return msgspec.Raw(await _computed(scope, asked, work))


async def _people(scope: Scope, request: AdminRequest) -> msgspec.Raw:
    from headgate_insights.answers import people
    from headgate_insights.resolve import resolve

    asked = _question(scope, request)
    if not asked.cell:
        raise AdminError("`cell` names the number whose people are listed")

    def work(lake: StoredLake) -> tuple[int, bytes]:
        resolved, _ = resolve(
            asked.figure, asked.options, lake, project=scope.project, now=datetime.now(UTC)
        )
        found = people(asked.figure, resolved, lake, asked.cell)
        return len(found), msgspec.json.encode({"people": found})

    count, body = await _computed(scope, asked, work)
    request.note(figure=asked.type, people=count)
    return msgspec.Raw(body)


def _question(scope: Scope, request: AdminRequest) -> Question:
    from headgate_insights.questions import question_of
    from headgate_insights.registry import find_figure

    name = request.path["id"]
    try:
        find_figure(name, scope.figures)
    except GatewayError as error:
        raise AdminError(str(error), 404) from error
    try:
        if request.body:
            return question_of(scope, name, request.decode(dict[str, Any]))
        return question_of(scope, name, _values(request.query_pairs), strict=False)
    except GatewayError as error:
        raise _refusal(error) from error


def _values(pairs: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


async def _computed(scope: Scope, asked: Question, work: Callable[[StoredLake], T]) -> T:
    from headgate_insights.desk import desk_of

    try:
        lake = await asyncio.to_thread(headgate_lake.find_lake, scope, asked.lake)
        people = await asyncio.to_thread(headgate_lake.find_people, scope, asked.identity)
        return await desk_of(lake.folder, headgate_lake.limits_of(scope)).compute(work, people)
    except GatewayError as error:
        raise _refusal(error) from error


def _refusal(error: GatewayError) -> AdminError:
    """Returns the answer for an error: 4xx for what the caller can mend, else 503."""
    from headgate_insights.errors import FigureError, WrongQuestion

    if isinstance(error, AdminError):
        return error
    retry = error.retry_after_seconds if isinstance(error, headgate_lake.QueriesBusy) else None
    status = 503
    if isinstance(error, WrongQuestion | ConfigError):
        status = 400
    elif isinstance(
        error, FigureError | headgate_lake.QueryOutOfMemory | headgate_lake.QueryOutOfTime
    ):
        status = 422
    return AdminError(str(error), status, retry)


INSIGHTS_AREA = AdminArea(
    "insights",
    (
        AdminEndpoint("GET", "", "read", _list),
        AdminEndpoint("GET", "{id}", "read", _figure, timeout_seconds=_SECONDS),
        AdminEndpoint("POST", "{id}", "read", _figure, timeout_seconds=_SECONDS),
        AdminEndpoint("GET", "saved/{id}", "read", _saved, timeout_seconds=_SECONDS),
        AdminEndpoint("POST", "{id}/people", "operate", _people, timeout_seconds=_SECONDS),
    ),
)
"""The area `/admin/insights`."""
