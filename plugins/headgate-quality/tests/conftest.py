"""Fixtures that build plans for the tests of this package."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway import Event, TransformSpec
from gateway.testing import make_config, make_context
from headgate_quality import Plan, register_transforms
from headgate_quality.tracking_plan import Rule, TrackingPlan

PRODUCTS = {"type": "array", "items": {"properties": {"sku": {"type": "string"}}}}
ORDER = {
    "properties": {
        "properties": {
            "type": "object",
            "required": ["order_id"],
            "properties": {
                "order_id": {"type": "string"},
                "total": {"type": "number"},
                "products": PRODUCTS,
            },
        }
    }
}
PERSON = {"properties": {"traits": {"properties": {"plan": {"enum": ["free", "paid"]}}}}}
RULES = [
    {"type": "TRACK", "key": "Order Completed", "version": 1, "jsonSchema": ORDER},
    {"type": "PAGE", "key": "Home", "version": 1, "jsonSchema": ORDER},
    {"type": "IDENTIFY", "version": 1, "jsonSchema": PERSON},
    {"type": "GROUP", "version": 1, "jsonSchema": PERSON},
]


@dataclass(frozen=True)
class Outcome:
    """The events that a plan lets through, and those that it makes."""

    kept: list[Event]
    made: list[Event]

    @property
    def protocols(self) -> Any:
        """`context.protocols` of the only event that was let through."""
        (event,) = self.kept
        return event.to_dict().get("context", {}).get("protocols")


@dataclass(frozen=True)
class Chain:
    """Calls a plan as the gateway does: `apply` with the events of a request, then `produced`."""

    plan: Plan

    def run(self, *events: Event) -> Outcome:
        return Outcome(self.plan.apply(list(events)), self.plan.produced())


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Chain]:
    """Builds a plan of the rules above, and others, from the keys that a user would write."""
    specs: list[TransformSpec[Any]] = []
    register_transforms(specs.append)
    (spec,) = specs

    def built(*more_rules: Any, **keys: Any) -> Chain:
        tree = {"id": "rs_1", "name": "Shop", "rules": [*RULES, *more_rules]}
        (tmp_path / "plan.json").write_text(json.dumps(tree))
        config = make_config(spec.config, {"file": "plan.json", **keys}, "transforms.shop")
        plan = spec.build(config, make_context(tmp_path, "shop"))
        assert isinstance(plan, Plan)
        return Chain(plan)

    return built


@pytest.fixture(scope="session")
def body_rule() -> Callable[[Any], Rule]:
    """Compiles a rule whose schema for the properties is the argument."""

    def compiled(body_schema: Any) -> Rule:
        plan = TrackingPlan()
        plan.add("track", "e", 1, {"type": "object", "properties": {"properties": body_schema}})
        rule = plan.rule("track", "e", None)
        assert rule is not None
        return rule

    return compiled
