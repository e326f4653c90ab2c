"""Changes events for one destination, as ``mapping`` in config.toml says, without code.

A mapping is a list of rules. Each rule renames, copies, sets, computes and drops values at paths
(`gateway.events.conditions.path`), if its condition holds
(`gateway.events.conditions.condition`). docs/guide/mapping.md is the reference.

Events are mapped right before they are sent, and on a copy. The retry lane and dead letters hold
the event as it was, so that a corrected mapping applies to those too. An event that cannot be
mapped becomes a dead letter with the reason; the others of its batch are sent.
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
