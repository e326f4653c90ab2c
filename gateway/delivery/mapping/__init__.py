"""Changes events for one destination, as ``mapping`` in config.toml says; without code.

A mapping is a list of rules. Each renames, copies, sets, computes and drops what paths name
(`gateway.events.conditions.path`), where its condition holds
(`gateway.events.conditions.condition`). docs/guide/mapping.md is the reference.

It works at the destination's door, on a copy: what waits in the retry lane and what is kept as a
dead letter is the event as it was, so that a corrected mapping holds for those too. An event that
cannot be mapped becomes a dead letter with the reason; the others of its batch go on.
"""

from __future__ import annotations

from gateway.delivery.mapping.destination import MappedDestination
from gateway.delivery.mapping.expression import Expression, ExpressionError, compile_expression
from gateway.delivery.mapping.rules import EventMapping, Rule, compile_mapping

__all__ = [
    "EventMapping",
    "Expression",
    "ExpressionError",
    "MappedDestination",
    "Rule",
    "compile_expression",
    "compile_mapping",
]
