"""Questions that arrive as named values: in the body or the query of a request.

The names are those of ``[insights.NAME]`` in config.toml: the figure's own options and those that
every figure has, side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway import Scope
from headgate_insights.errors import WrongQuestion, suggestion
from headgate_insights.figure import Figure
from headgate_insights.options import convert_options, names_file, takes_several
from headgate_insights.saved import build, built
from headgate_insights.scope import ScopeOptions, check_options

__all__ = ["Question", "question_of", "refuse_ids", "saved_question"]

_IDS = frozenset(
    {
        "userId",
        "user_id",
        "anonymousId",
        "anonymous_id",
        "messageId",
        "message_id",
        "session_id",
        "order_id",
        "click_id",
    }
)


class Question(Struct, frozen=True, kw_only=True):
    """A figure with all that is asked of it.

    Attributes:
        lake: the id of the lake; None for the only one.
        identity: ``now``, ``raw`` or a time; see `headgate_lake.find_people`.
        cell: the number whose people are listed; empty for the figure itself.
    """

    type: str
    figure: Figure[Any]
    options: ScopeOptions
    lake: str | None = None
    identity: str = "now"
    cell: str = ""


def question_of(
    scope: Scope, type_: str, given: Mapping[str, Any], *, strict: bool = True
) -> Question:
    """Makes a question of named values.

    Args:
        strict: False if values are texts, and one text may stand for a list.

    Raises:
        WrongQuestion: there is no such option, or a value is wrong.
    """
    spec = scope.figures[type_]
    own = {one.encode_name: one for one in msgspec.structs.fields(spec.config)}
    common = {one.encode_name: one for one in msgspec.structs.fields(ScopeOptions)}
    values: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    others = {"lake": "", "identity": "now", "cell": ""}
    for name, value in given.items():
        field = own.get(name) or common.get(name)
        if field is not None:
            if names_file(field):
                raise WrongQuestion(f"{name}: only the command reads files, on its own machine")
            several = not strict and takes_several(field) and not isinstance(value, list)
            values[name not in own][name] = [value] if several else value
        elif name in others and isinstance(value, str):
            others[name] = value
        else:
            hint = suggestion(name, [*own, *common])
            raise WrongQuestion(f"the figure {type_!r} has no option {name!r}{hint}")
    options = convert_options(ScopeOptions, values[1], strict=strict)
    check_options(options)
    return Question(
        type=type_,
        figure=build(spec, convert_options(spec.config, values[0], strict=strict)),
        options=options,
        lake=others["lake"] or None,
        identity=others["identity"],
        cell=others["cell"],
    )


def saved_question(scope: Scope, id_: str) -> Question:
    """Returns the question that config.toml keeps as ``[insights.ID]``.

    Raises:
        WrongQuestion: it keeps none of this name.
    """
    kept = scope.tables["insights"]
    if id_ not in kept:
        raise WrongQuestion(f"there is no saved figure {id_!r}{suggestion(id_, kept)}")
    settings = kept[id_].settings
    return Question(type=settings.type, figure=built(scope, kept[id_]), options=settings.scope)


def refuse_ids(asked: Question) -> None:
    """Refuses a breakdown by an id, whose values are people and not groups of them.

    Raises:
        WrongQuestion: it has one.
    """
    if asked.options.by in _IDS:
        raise WrongQuestion(
            f"by {asked.options.by}: it would list people, whom only .../people shows"
        )
